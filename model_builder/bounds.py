"""Exact one-sided confidence bounds: each holds at every number of rows, none is a normal approximation or a bootstrap.

All functions take `alpha`, the share of test sets on which a bound may be wrong. Test rows are taken as independent
draws of what the model will meet; how well they are that, no formula can know.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]

ALPHA = 0.05
#: Bets of the wealth process: which part of the wealth is staked on every row. Several, since the best one is unknown.
_STAKES = 2.0 ** -numpy.arange(8)
_CELLS, _MOST_CELLS, _REFINEMENTS = 16, 256, 24
#: The part of alpha that pays for leaving out what can hardly be.
_SET_ASIDE = 0.002
_BISECTIONS, _FINE = 40, 10
_NEGLIGIBLE, _ROUNDING = 1e-14, 1e-12


def share(*, hits: int, rows: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Lower and upper bound of a share, each one-sided (Clopper and Pearson, Biometrika 26, 1934).

    Without rows nothing is known: 0 and 1.
    """
    lower = float(special.betaincinv(hits, rows - hits + 1, alpha)) if hits > 0 else 0.0
    upper = float(special.betaincinv(hits + 1, rows - hits, 1 - alpha)) if hits < rows else 1.0
    return lower, upper


def drop_is_below(*, rows: int, better: int, worse: int, margin: float, alpha: float = ALPHA) -> bool:
    """True if two models on the same rows prove that the share of right answers fell by less than `margin`.

    The hypothesis P(worse) - P(better) >= margin is rejected by an exact unconditional test: outcomes are ordered by
    (worse - better - rows * margin) / sqrt(2 * better + rows * margin), and the probability of everything at least as
    extreme as what was seen is bounded over all values of the nuisance P(better) at once, but for those that what was
    seen excludes at a level set aside from alpha (Berger and Boos, JASA 89, 1994). The order is monotone (fewer worse
    or more better rows is never less extreme), so on a cell of nuisance values the corner with the most better and the
    fewest worse rows bounds the whole cell; cells are halved until that is sharp enough. The idea of such tests:
    Barnard, Biometrika 34, 1947; order and cells are this project's own.

    Args:
        rows: number of test rows.
        better: rows that only the new model answers rightly.
        worse: rows that only the reference answers rightly.
        margin: -1 to 1; a negative one asks for an improvement.
        alpha: level of the test.
    """
    if rows == 0 or margin <= -1:
        return False
    if margin > 1:
        return True
    statistic = _statistic(better=better, worse=worse, rows=rows, margin=margin)
    if statistic >= 0:
        return False  # the estimate itself lies within the hypothesis
    scale = _scale(numpy.arange(rows + 1), rows=rows, margin=margin)
    # A point on the edge of the region belongs to it, whatever the last bit of a float says.
    edge = numpy.floor(numpy.arange(rows + 1) + rows * margin + statistic * scale + 1e-9)
    edge[scale == 0] = -1
    likely = [share(hits=better, rows=rows, alpha=_SET_ASIDE * alpha / 2)[side] for side in (0, 1)]
    first, last = max(0.0, -margin, likely[0]), min((1 - margin) / 2, likely[1])
    if first > last:
        return True
    alpha *= 1 - _SET_ASIDE
    marks = first + (last - first) * numpy.linspace(0, 1, _CELLS + 1) ** 2
    cells = [(float(low), float(high)) for low, high in itertools.pairwise(marks)]
    for _ in range(_REFINEMENTS):
        low, high = (numpy.array(side) for side in zip(*cells, strict=True))
        above = _region(edge, rows=rows, better=high, worse=low + margin) > alpha
        if not above.any():
            return True
        low, high = low[above], high[above]
        if (_region(edge, rows=rows, better=low, worse=low + margin) > alpha).any() or len(low) > _MOST_CELLS:
            return False
        middle = (low + high) / 2
        cells = [*zip(low, middle, strict=True), *zip(middle, high, strict=True)]
    return False


def drop(*, rows: int, better: int, worse: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Lower and upper bound of the fall in the share of right answers, by inverting `drop_is_below`."""

    def upper(gained: int, lost: int) -> float:
        def open_(margin: float) -> bool:
            return not drop_is_below(rows=rows, better=gained, worse=lost, margin=margin, alpha=alpha)

        seen = (lost - gained) / max(rows, 1)
        reach = 2 / max(rows, 1)
        while seen + reach < 1 and open_(seen + reach):
            reach *= 2
        return _turn(open_, low=seen, high=min(1.0, seen + reach), steps=_FINE)[1]

    return -upper(worse, better), upper(better, worse)


def _statistic(*, better: int, worse: int, rows: int, margin: float) -> float:
    scale = float(_scale(numpy.array([better]), rows=rows, margin=margin)[0])
    distance = worse - better - rows * margin
    if scale == 0:
        return 0.0 if distance <= 0 else math.inf
    return distance / scale


def _scale(better: NDArray[Any], *, rows: int, margin: float) -> NDArray[Any]:
    """Standard deviation of worse - better on the edge of the hypothesis, as the better rows tell it."""
    scale: NDArray[Any] = numpy.sqrt(numpy.maximum(2 * better + rows * margin, rows * abs(margin)))
    return scale


def _region(edge: NDArray[Any], *, rows: int, better: NDArray[Any], worse: NDArray[Any]) -> NDArray[Any]:
    """P(number of worse rows <= edge[number of better rows]) for each pair of chances; never less than the truth.

    Counts of better rows that are next to impossible are not computed, but added in full.
    """
    spread = 9 * numpy.sqrt(rows * better * (1 - better)) + 12
    first = numpy.maximum(0, numpy.floor(rows * better - spread)).astype(int)
    sizes = numpy.minimum(rows, numpy.ceil(rows * better + spread)).astype(int) - first + 1
    cell = numpy.repeat(numpy.arange(len(better)), sizes)
    counts = first[cell] + numpy.arange(len(cell)) - (numpy.cumsum(sizes) - sizes)[cell]
    weights = _binomial(counts, rows=rows, chance=better[cell])
    used = (weights > _NEGLIGIBLE) & (edge[counts] >= 0)
    left_out = numpy.bincount(cell, numpy.where(weights > _NEGLIGIBLE, 0.0, weights), len(better)) + _ROUNDING
    cell, counts, weights = cell[used], counts[used], weights[used]
    trials = rows - counts
    with numpy.errstate(invalid="ignore", divide="ignore"):
        chance = numpy.where(better < 1, numpy.minimum(1.0, worse / (1 - better)), 1.0)[cell]
    inside = edge[counts] < trials
    below = numpy.ones(len(counts))
    below[inside] = special.bdtr(edge[counts][inside], trials[inside], chance[inside])
    total: NDArray[Any] = numpy.bincount(cell, weights * below, len(better)) + left_out
    return total


def _binomial(counts: NDArray[Any], *, rows: int, chance: NDArray[Any]) -> NDArray[Any]:
    ways = special.gammaln(rows + 1) - special.gammaln(counts + 1) - special.gammaln(rows - counts + 1)
    weights: NDArray[Any] = numpy.exp(ways + special.xlogy(counts, chance) + special.xlog1py(rows - counts, -chance))
    return weights


def mean_is_not_negative(values: NDArray[Any], *, smallest: float, alpha: float = ALPHA) -> bool:
    """True if independent values, none of which can be below `smallest`, prove that their mean is not below zero.

    A wealth that stakes a fixed part of itself on every row multiplies by 1 + stake * value / -smallest; were the mean
    negative, its expectation would be 1 at most, also for rows of different distributions (the geometric mean is
    never above the arithmetic one), so by Markov it reaches 1 / alpha with probability alpha at most. The wealth here
    is spread over eight stakes. After Waudby-Smith and Ramdas, JRSS B 86, 2024; fixed stakes need no order of the rows.

    Args:
        values: (n,) one number per row.
        smallest: what no value can be below, known before the data.
        alpha: level of the test.
    """
    if smallest >= 0:
        return True
    unique, counts = numpy.unique(values, return_counts=True)
    return _log_wealth(unique / -smallest, counts) >= -math.log(alpha)


def _log_wealth(gains: NDArray[Any], counts: NDArray[Any]) -> float:
    """Logarithm of the wealth after all rows; gains are at least -1, and occur `counts` times."""
    with numpy.errstate(divide="ignore"):
        logs = (numpy.log1p(numpy.maximum(_STAKES[:, None] * gains, -1.0)) * counts).sum(axis=1)
    return float(special.logsumexp(logs) - math.log(len(_STAKES)))


def ratio(
    *, numerators: NDArray[Any], denominators: NDArray[Any], low: float, high: float, alpha: float = ALPHA
) -> tuple[float, float]:
    """Lower and upper bound of E[numerator] / E[denominator], each by inverting `mean_is_not_negative`.

    Args:
        numerators: (n,) between low and high times the denominator.
        denominators: (n,) between 0 and 1. All ones give the bounds of a mean.
        low: smallest possible ratio of a row.
        high: largest possible ratio of a row.
        alpha: level of each bound.
    """
    pairs, counts = numpy.unique(numpy.stack([numerators, denominators]), axis=1, return_counts=True)

    def lower(tops: NDArray[Any], bottoms: NDArray[Any], smallest: float, largest: float) -> float:
        def possible(limit: float) -> bool:
            gap = limit - smallest
            return gap <= 0 or _log_wealth((tops - limit * bottoms) / gap, counts) >= -math.log(alpha)

        return _turn(possible, low=smallest, high=largest, steps=_BISECTIONS)[0]

    return lower(pairs[0], pairs[1], low, high), -lower(-pairs[0], pairs[1], -high, -low)


def auroc(*, positive: NDArray[Any], negative: NDArray[Any], alpha: float = ALPHA) -> tuple[float, float]:
    """Lower and upper bound of P(score of a positive > score of a negative), ties counted half.

    The area is an average over ways to form min(m, n) disjoint pairs, so the Chernoff bound of that many independent
    values in [0, 1] holds for it (Hoeffding, JASA 58, 1963, section 5).
    """
    if not len(positive) or not len(negative):
        return 0.0, 1.0
    value, pairs = area(positive=positive, negative=negative), min(len(positive), len(negative))

    def lower(seen: float) -> float:
        return _turn(
            lambda limit: pairs * _divergence(seen, limit) >= -math.log(alpha), low=0.0, high=seen, steps=_BISECTIONS
        )[0]

    return lower(value), 1 - lower(1 - value)


def area(*, positive: NDArray[Any], negative: NDArray[Any]) -> float:
    """The area under the ROC curve, by ranks (Mann and Whitney, 1947)."""
    ordered = numpy.sort(negative)
    wins = numpy.searchsorted(ordered, positive, side="left") + numpy.searchsorted(ordered, positive, side="right")
    return float(wins.sum() / (2 * len(positive) * len(negative)))


def _divergence(seen: float, supposed: float) -> float:
    """Kullback-Leibler divergence of two coins."""
    return float(special.rel_entr(seen, supposed) + special.rel_entr(1 - seen, 1 - supposed))


def quantile(values: NDArray[Any], *, at: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Lower and upper bound of a quantile, from the order of the values alone; infinite where the rows are too few.

    The number of rows at or below the true quantile is binomial, whatever the distribution of the values.
    """
    ordered, rows = numpy.sort(values), len(values)
    at_most = special.bdtr(numpy.arange(rows), rows, at)
    low, high = numpy.flatnonzero(at_most <= alpha), numpy.flatnonzero(1 - at_most <= alpha)
    return (
        float(ordered[low[-1]]) if len(low) else -math.inf,
        float(ordered[high[0]]) if len(high) else math.inf,
    )


def _turn(holds: Callable[[float], bool], *, low: float, high: float, steps: int) -> tuple[float, float]:
    """Two neighbours: the first is in the interval that begins at `low` and on which `holds`, the second no more."""
    if holds(high):
        return high, high
    for _ in range(steps):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low, high
