"""Both versions' answers to the same inputs: the cheapest evidence there is at low traffic (section 2.7).

Each pair gives d in {-1, 0, 1}: better, as good, worse. Against "the mean of d is at most m" one bets
on y = (d + 1) / 2 with a stake that follows from the past (Waudby-Smith and Ramdas,
arXiv 2010.09686): W *= 1 + stake * (y - m). Counts suffice, since the stake is fixed within a block.

Inputs must come in random order and never twice: a golden set that is asked again says nothing new.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelrelease.domain.counts import Pairs

MARGIN = 0.01  # the candidate may be worse on one more of a hundred inputs, net
FAIL_MARGIN = 0.0025
_MOST_STAKE = 0.9  # of what could be lost
_LEAST = 1e-12
_MOST_PAIRS = 1e9  # of one block


@dataclass(frozen=True)
class Paired:
    """What was counted so far, and the logarithms of the wealth of the tests against and for the candidate."""

    count: float = 0.0
    worse: float = 0.0
    better: float = 0.0
    against: float = 0.0
    favour: float = 0.0


def sound(pairs: Pairs) -> bool:
    """Tell whether counts can be: none below 0 or beyond counting, no more worse and better ones than all."""
    parts = (pairs.count, pairs.worse, pairs.better)
    return all(0 <= part <= _MOST_PAIRS for part in parts) and pairs.worse + pairs.better <= pairs.count


def fold(state: Paired, pairs: Pairs) -> Paired:
    """Return the state after one block of sound counts."""
    same = pairs.count - pairs.worse - pairs.better
    against = _gain(state, null=FAIL_MARGIN, high=pairs.worse, low=pairs.better, same=same, sign=1.0)
    favour = _gain(state, null=-MARGIN, high=pairs.better, low=pairs.worse, same=same, sign=-1.0)
    return Paired(
        count=state.count + pairs.count,
        worse=state.worse + pairs.worse,
        better=state.better + pairs.better,
        against=state.against + against,
        favour=state.favour + favour,
    )


def of_signs(signs: Iterable[int]) -> Paired:
    """Return the state after pairs in a fixed order, one by one: 1 is a worse answer, -1 a better one.

    All of it follows from the pairs, so that the same ones read again say the same, and no more.
    """
    state = Paired()
    for sign in signs:
        state = fold(state, Pairs(count=1.0, worse=float(sign > 0), better=float(sign < 0)))
    return state


def joined(one: Paired, other: Paired) -> Paired:
    """Return what two samples that share no input say together: wealth of one test is put on the other."""
    return Paired(
        count=one.count + other.count,
        worse=one.worse + other.worse,
        better=one.better + other.better,
        against=one.against + other.against,
        favour=one.favour + other.favour,
    )


def restarted(state: Paired) -> Paired:
    """Return the state at the start of a step: the test for the candidate begins anew."""
    return replace(state, favour=0.0)


def _gain(state: Paired, *, null: float, high: float, low: float, same: float, sign: float) -> float:
    """Return the log wealth that a block brings against "the mean of sign * d is at most `null`"."""
    border = 0.5 * (null + 1.0)
    lead = 0.5 * sign * (state.worse - state.better)
    mean = 0.5 + lead / (state.count + 1.0)
    square = 0.25 * (state.worse + state.better) + 0.25  # of y - 1/2; one pair imagined with the most of it
    variance = square / (state.count + 1.0) - (mean - 0.5) ** 2
    edge = mean - border
    stake = edge / (max(variance, _LEAST) + edge * edge) if edge > 0.0 else 0.0
    stake = min(stake, _MOST_STAKE / border)
    steps = ((high, 1.0), (same, 0.5), (low, 0.0))
    return sum(count * math.log1p(stake * (y - border)) for count, y in steps if count > 0.0)
