"""Differential privacy for whole sites: a bound on what one can change, noise, and what both are worth.

Neighbours are two trainings of which one lacks the updates of one site (they count as zero). All sites take part in
every round, so nothing is gained by sampling, and the account is exact: rounds with Gaussian noise of `noise` times
the bound are together one Gaussian mechanism with `noise / sqrt(rounds)`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import torch


def clipped(update: torch.Tensor, *, bound: float) -> torch.Tensor:
    """The update, made shorter where its L2 norm is above the bound."""
    norm = float(update.double().norm())
    return update if norm <= bound else update * (bound / norm)


def share_of_noise(*, size: int, noise: float, clip: float, sites: int, chance: numpy.random.Generator) -> torch.Tensor:
    """What one of so many sites adds: float64 (size,). The sum over all has a standard deviation of `noise * clip`."""
    import torch

    return torch.from_numpy(chance.normal(scale=noise * clip / math.sqrt(sites), size=size))


def delta_of(epsilon: float, *, noise: float, rounds: int) -> float:
    """The smallest delta that goes with an epsilon (Balle & Wang 2018, arXiv 1805.06530, theorem 8)."""
    from scipy.special import log_ndtr, ndtr  # type: ignore[import-untyped]

    mu = math.sqrt(rounds) / noise
    likely, rare = mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu
    return float(ndtr(likely)) - math.exp(epsilon + float(log_ndtr(rare)))


def epsilon_of(*, noise: float, rounds: int, delta: float) -> float:
    """The smallest epsilon, rounded up in its twelfth digit or so, that goes with a delta.

    `delta_of` falls in epsilon, so the interval can be halved; Mironov's bound (2017, arXiv 1702.07476, propositions 3
    and 7, at the best order) is where to begin, for it is never below.
    """
    if delta_of(0.0, noise=noise, rounds=rounds) <= delta:
        return 0.0
    rho = rounds / (2 * noise**2)
    low, high = 0.0, rho + 2 * math.sqrt(rho * math.log(1 / delta))
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if delta_of(middle, noise=noise, rounds=rounds) <= delta:
            high = middle
        else:
            low = middle
    return high
