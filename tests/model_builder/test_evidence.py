"""Bounds of numbers that are put together from several shares: coverage, outcome by outcome."""

import itertools
from collections.abc import Callable, Iterator

import numpy
import pytest
from scipy import stats

from model_builder import evidence
from model_builder.audit.fairness import Gap
from model_builder.evaluation.classification import macro_recall
from model_builder.evidence import ClassF1, Combined, Difference, Evidence, Rows

ALPHA = 0.05
ROWS = 6
# The last two are where six equal answers of a kind are just unlikely enough to decide.
PAIRS = [(0.1, 0.8), (0.95, 0.9), (1.0, 0.99), (0.394, 0.394), (0.606, 0.606)]


def two_shares(chances: tuple[float, float]) -> Iterator[tuple[float, Rows, Rows]]:
    """Every outcome of two groups of rows, with its probability."""
    for hits in itertools.product(range(ROWS + 1), repeat=2):
        weight = float(numpy.prod([stats.binom.pmf(h, ROWS, p) for h, p in zip(hits, chances, strict=True)]))
        left, right = (evidence.share(numpy.arange(ROWS) < h) for h in hits)
        yield weight, left, right


@pytest.mark.parametrize("chances", PAIRS)
@pytest.mark.parametrize(
    ("combine", "truth"),
    [
        (lambda a, b: Combined((a, b), min), min),
        (lambda a, b: Combined((a, b), max), max),
        (lambda a, b: Combined((a, b), evidence.average), lambda pair: sum(pair) / 2),
        (Difference, lambda pair: pair[0] - pair[1]),
        (lambda a, b: Gap((a, b)), lambda pair: abs(pair[0] - pair[1])),
    ],
    ids=["min", "max", "mean", "difference", "gap"],
)
def test_bounds_of_two_shares_together_are_rarely_wrong(
    combine: Callable[[Evidence, Evidence], Evidence],
    truth: Callable[[tuple[float, float]], float],
    chances: tuple[float, float],
) -> None:
    wrong = [0.0, 0.0]
    for weight, left, right in two_shares(chances):
        low, high = combine(left, right).bounds(ALPHA)
        assert low is not None and high is not None and low <= combine(left, right).value <= high
        wrong[0] += weight * (low > truth(chances) + 1e-12)
        wrong[1] += weight * (high < truth(chances) - 1e-12)
    assert max(wrong) <= ALPHA


def test_a_gap_shares_alpha_among_both_bounds_of_all_groups() -> None:
    groups = (evidence.share(numpy.ones(20)), evidence.share(numpy.zeros(20)))
    assert Gap(groups).bounds(ALPHA) == (pytest.approx(2 * (ALPHA / 4) ** (1 / 20) - 1), 1.0)


@pytest.mark.parametrize("chances", [(0.5, 0.3, 0.2), (0.1, 0.1, 0.8), (0.6, 0.4, 0.0)])
def test_bounds_of_a_class_f1_are_rarely_wrong(chances: tuple[float, float, float]) -> None:
    """Of a row: of the class and taken for it, one of the two, neither."""
    hit, half, _ = chances
    true, rows, wrong = 2 * hit / (2 * hit + half), 8, [0.0, 0.0]
    for hits, halves in itertools.product(range(rows + 1), repeat=2):
        if hits + halves <= rows:
            weight = float(stats.multinomial.pmf([hits, halves, rows - hits - halves], rows, chances))
            found = ClassF1(hits, hits + halves)
            low, high = found.bounds(ALPHA)
            assert low is not None and high is not None
            wrong[0] += weight * (low > true + 1e-12)
            wrong[1] += weight * (high < true - 1e-12)
    assert max(wrong) <= ALPHA


@pytest.mark.parametrize("chances", PAIRS)
def test_bounds_of_a_macro_recall_are_rarely_wrong_for_classes_of_unequal_size(chances: tuple[float, float]) -> None:
    sizes, wrong = (2, 5), [0.0, 0.0]
    labels = numpy.repeat([0, 1], sizes)
    for hits in itertools.product(*(range(size + 1) for size in sizes)):
        weight = float(numpy.prod([stats.binom.pmf(h, n, p) for h, n, p in zip(hits, sizes, chances, strict=True)]))
        right = numpy.concatenate([numpy.arange(n) < h for h, n in zip(hits, sizes, strict=True)])
        found = macro_recall(right=right, labels=labels)
        assert found.value == pytest.approx((hits[0] / 2 + hits[1] / 5) / 2)
        low, high = found.bounds(ALPHA)
        assert low is not None and high is not None
        wrong[0] += weight * (low > sum(chances) / 2 + 1e-9)
        wrong[1] += weight * (high < sum(chances) / 2 - 1e-9)
    assert max(wrong) <= ALPHA


def test_a_difference_of_the_same_rows_is_paired() -> None:
    now, before = numpy.ones(50, dtype=bool), numpy.ones(50, dtype=bool)
    now[:2] = False
    shares = evidence.difference(evidence.share(now), evidence.share(before))
    assert isinstance(shares, evidence.Drop)
    assert (shares.value, shares.rows) == (-0.04, 50)
    means = evidence.difference(
        evidence.mean(numpy.full(50, 0.2), low=0, high=1), evidence.mean(numpy.full(50, 0.3), low=0, high=1)
    )
    assert means.value == pytest.approx(-0.1)
    low, high = means.bounds(ALPHA)
    assert low is not None and high is not None and -0.3 < low < -0.1 < high < 0.1
    other = evidence.difference(evidence.share(now), evidence.share(before[:40]))
    assert isinstance(other, Difference)


def test_bounds_are_rounded_outwards() -> None:
    found = evidence.metric(evidence.share(numpy.arange(270) > 4))
    assert (found.value, found.rows) == (0.981481, 270)
    exact = evidence.share(numpy.arange(270) > 4).bounds(ALPHA)
    assert exact[0] is not None and exact[1] is not None and found.lower is not None and found.upper is not None
    assert found.lower <= exact[0] < found.lower + 2e-6
    assert found.upper - 2e-6 < exact[1] <= found.upper
    assert set(found.to_json()) == {"value", "rows", "lower", "upper"}
