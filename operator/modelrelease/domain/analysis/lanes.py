"""What is tested and what is remembered: arrays with any leading axes (replications, releases), lanes last.

A lane is one metric from one source (live requests or mirrored ones). `Lanes` is the contract,
fixed for a release; `Memory` is what the tests carry from block to block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy
from numpy.typing import NDArray

from modelrelease.domain.analysis.kernel import Array, Line

FAIL_BETS, PASS_BETS = 11, 3  # guesses of portfolio.py
AVERAGES = 8


@dataclass(frozen=True, kw_only=True)
class Lanes:
    """The lines and error rates of all lanes; arrays of shape (lanes,).

    A candidate is acceptable at or below the PASS line, the whole margin; the FAIL line is
    a quarter of it, so that no true ratio keeps both tests going forever (section 2.4).
    """

    fail: Line
    accept: Line
    weight: Array  # of the lane in the mean of the e-values against the candidate
    alpha: float = 0.05
    beta: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What is carried from block to block; arrays of shape (..., lanes), bets with one more axis.

    Counts are requests (or sums of losses). `held`
    waits until both arms have a request. Wealth starts at 1 for each test of each lane.
    """

    averages: Array  # (..., lanes, AVERAGES): bad and all, of stable (history included; fading) and candidate (fading)
    held: Array  # (..., lanes, 4): x_s, n_s, x_c, n_c
    fail_cash: Array
    fail_bets: Array  # (..., lanes, FAIL_BETS)
    fail_played: Array  # blocks
    pass_cash: Array
    pass_bets: Array  # (..., lanes, PASS_BETS)
    pass_played: Array  # blocks of this step
    pass_best: Array  # the highest e-value of this step
    noise: Array  # kappa, see dispersion.py
    floor: Array  # the least phi

    def with_history(self, x: Array, n: Array) -> Memory:
        """Return the memory that knows stable's bad and all requests of the past, (..., lanes)."""
        averages = self.averages.copy()
        averages[..., 0], averages[..., 1] = x, n
        return replace(self, averages=averages)

    @property
    def base(self) -> Array:
        """Stable's ratio so far, (..., lanes)."""
        return numpy.asarray((self.averages[..., 0] + 0.5) / (self.averages[..., 1] + 1.0))

    @property
    def fail_e(self) -> Array:
        """The e-values against the candidate, (..., lanes)."""
        return numpy.asarray(self.fail_cash + self.fail_bets.sum(axis=-1))

    @property
    def pass_e(self) -> Array:
        """The e-values for the candidate in this step, (..., lanes)."""
        return numpy.asarray(self.pass_cash + self.pass_bets.sum(axis=-1))


def fresh(shape: tuple[int, ...], *, noise: Array | float = 0.0, floor: Array | float = 1.0) -> Memory:
    """Return the memory before the first block; `shape` is (..., lanes)."""
    zero, one = numpy.zeros(shape), numpy.ones(shape)
    return Memory(
        averages=numpy.zeros((*shape, AVERAGES)),
        held=numpy.zeros((*shape, 4)),
        fail_cash=one,
        fail_bets=numpy.zeros((*shape, FAIL_BETS)),
        fail_played=zero,
        pass_cash=one,
        pass_bets=numpy.zeros((*shape, PASS_BETS)),
        pass_played=zero,
        pass_best=one,
        noise=zero + noise,
        floor=zero + floor,
    )


def next_step(memory: Memory, *, where: NDArray[numpy.bool_] | None = None) -> Memory:
    """Return the memory at the start of a step: tests for the candidate begin anew, those against it go on.

    `where` (...,) says for which releases, all if None.
    """
    empty = fresh(memory.noise.shape)
    mask = numpy.ones(memory.noise.shape[:-1], dtype=bool) if where is None else where
    restarted = ("held", "pass_cash", "pass_bets", "pass_played", "pass_best")
    return replace(
        memory,
        **{
            name: numpy.where(_wide(mask, getattr(memory, name).ndim), getattr(empty, name), getattr(memory, name))
            for name in restarted
        },
    )


def _wide(mask: NDArray[numpy.bool_], ndim: int) -> NDArray[numpy.bool_]:
    return mask.reshape(mask.shape + (1,) * (ndim - mask.ndim))
