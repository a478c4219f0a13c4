"""Whether the candidate predicts other classes than stable: told to people, never decided on (section 2.9).

A new model is supposed to differ, so a proof that it does is no fault. What is told is a shift of at
least `SHIFT` of all answers, once it is no chance: an e-value of two multinomials, where
the arithmetic and geometric mean give E <= 1 under equal shares, as in the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelrelease.domain.counts import Arm

SHIFT = 0.05
THRESHOLD = 20.0
MOST_CLASSES = 32
_MOST = 1e12  # answers of one block
_PSI_NOISE = 0.02  # where chance alone gives the index more than this, it is not told


@dataclass(frozen=True)
class Classes:
    """Answers by class so far, as (stable, candidate), and the log e-value against equal shares."""

    counts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    log_e: float = 0.0

    def totals(self) -> tuple[float, float]:
        """Return all answers of stable and of the candidate."""
        return sum(s for s, _ in self.counts.values()), sum(c for _, c in self.counts.values())


def log_e(
    *, stable: Sequence[float], candidate: Sequence[float], guess: tuple[Sequence[float], Sequence[float]]
) -> float:
    """Return the log e-value of one block's classes against equal shares; `guess` are both versions' shares."""
    n_s, n_c = sum(stable), sum(candidate)
    total = 0.0
    for x_s, x_c, q_s, q_c in zip(stable, candidate, *guess, strict=True):
        both = (n_s * q_s + n_c * q_c) / (n_s + n_c)
        total += (x_s * math.log(q_s / both) if x_s else 0.0) + (x_c * math.log(q_c / both) if x_c else 0.0)
    return total


def fold(state: Classes, *, stable: Arm, candidate: Arm) -> Classes:
    """Return the state after one block. The first block only says which classes there are."""
    before, now = state.counts, (dict(stable.classes), dict(candidate.classes))
    if not now[0] or not now[1]:
        return state
    if not all(0 <= value <= _MOST for arm in now for value in arm.values()):
        return state
    names = sorted({*before, *now[0], *now[1]})[:MOST_CLASSES]
    block = [[arm.get(name, 0.0) for name in names] for arm in now]
    gain = 0.0
    if before and sum(block[0]) > 0 and sum(block[1]) > 0:
        known = [before.get(name, (0.0, 0.0)) for name in names]
        both = _shares([s + c for s, c in known], like=None)
        guess = (_shares([s for s, _ in known], like=both), _shares([c for _, c in known], like=both))
        gain = log_e(stable=block[0], candidate=block[1], guess=guess)
    counts = {
        name: (before.get(name, (0.0, 0.0))[0] + s, before.get(name, (0.0, 0.0))[1] + c)
        for name, s, c in zip(names, *block, strict=True)
    }
    return Classes(counts=counts, log_e=state.log_e + gain)


def _shares(counts: Sequence[float], *, like: Sequence[float] | None) -> list[float]:
    """Return shares pulled towards others (or towards equal ones) by as many answers as there are classes."""
    extra = float(len(counts))
    prior = like if like is not None else [1.0 / len(counts)] * len(counts)
    return [(count + extra * p) / (sum(counts) + extra) for count, p in zip(counts, prior, strict=True)]


def largest(state: Classes) -> tuple[str, float, float] | None:
    """Return the class whose share changed most, and its shares of stable's and the candidate's answers."""
    n_s, n_c = state.totals()
    if n_s <= 0 or n_c <= 0:
        return None
    shares = [(name, s / n_s, c / n_c) for name, (s, c) in state.counts.items()]
    return max(shares, key=lambda found: (abs(found[2] - found[1]), found[0]))


def stability_index(state: Classes) -> float | None:
    """Return the population stability index; None where chance alone would give more than 0.02 (Yurdakul 2018)."""
    n_s, n_c = state.totals()
    if n_s <= 0 or n_c <= 0 or (len(state.counts) - 1) * (1.0 / n_s + 1.0 / n_c) >= _PSI_NOISE:
        return None
    pairs = [((s + 0.5) / (n_s + 1.0), (c + 0.5) / (n_c + 1.0)) for s, c in state.counts.values()]
    return sum((c - s) * math.log(c / s) for s, c in pairs)
