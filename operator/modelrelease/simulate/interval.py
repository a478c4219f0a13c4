"""Exact confidence intervals of a share, after Clopper and Pearson (Biometrika 26, 1934)."""

from __future__ import annotations

import math

import numpy as np

CONFIDENCE = 0.95
_BISECTIONS = 60


def interval(hits: int, trials: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the lower and the upper bound of a true share, both in 0..1; (0, 1) without trials."""
    tail = (1.0 - confidence) / 2.0
    return _lower(hits, trials, tail), 1.0 - _lower(trials - hits, trials, tail)


def _lower(hits: int, trials: int, tail: float) -> float:
    """Return the share at which so many hits or more have the probability `tail`."""
    if hits <= 0:
        return 0.0
    counts = np.arange(hits, trials + 1)
    lgamma = np.vectorize(math.lgamma, otypes=[float])
    ways = math.lgamma(trials + 1) - lgamma(counts + 1) - lgamma(trials - counts + 1)
    low, high = 0.0, hits / trials
    for _ in range(_BISECTIONS):
        share = (low + high) / 2.0
        # Where all trials hit, log(1 - share) is multiplied by 0 misses: it must be finite then.
        logs = ways + counts * math.log(share) + (trials - counts) * math.log1p(-min(share, 1.0 - 1e-16))
        low, high = (share, high) if np.exp(logs).sum() <= tail else (low, share)
    return low
