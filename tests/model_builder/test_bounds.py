"""Coverage is summed up outcome by outcome: a bound that is wrong more often than alpha anywhere on the grid fails."""

import itertools
import math
from collections.abc import Iterator

import numpy
import numpy.typing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from model_builder import bounds

ALPHA = 0.05
#: What adding up some thousand probabilities may be off by.
ROUNDING = 1e-9
CHANCES = (0.0, 0.003, 0.01, 0.04, 0.1, 0.25, 0.5, 0.7, 0.9, 0.99, 1.0)


@pytest.mark.parametrize("rows", [1, 2, 5, 12, 30, 270])
@pytest.mark.parametrize("chance", CHANCES)
def test_bounds_of_a_share_are_rarely_wrong(rows: int, chance: float) -> None:
    weights = stats.binom.pmf(numpy.arange(rows + 1), rows, chance)
    found = [bounds.share(hits=hits, rows=rows) for hits in range(rows + 1)]
    assert sum(w for w, (low, _) in zip(weights, found, strict=True) if low > chance) <= ALPHA + ROUNDING
    assert sum(w for w, (_, high) in zip(weights, found, strict=True) if high < chance) <= ALPHA + ROUNDING


def test_bounds_of_a_share_by_hand() -> None:
    assert bounds.share(hits=270, rows=270)[0] == pytest.approx(0.05 ** (1 / 270))
    assert bounds.share(hits=0, rows=5) == (0.0, pytest.approx(1 - 0.05**0.2))
    assert bounds.share(hits=0, rows=0) == (0.0, 1.0)


def outcomes(rows: int) -> Iterator[tuple[int, int]]:
    return ((better, worse) for better in range(rows + 1) for worse in range(rows + 1 - better))


def check_paired_proofs(*, rows: int, margin: float, parts: numpy.typing.NDArray[numpy.float64]) -> None:
    """P(drop < margin is declared proven), where the drop is exactly the margin, for many chances of a better row."""
    proven = [o for o in outcomes(rows) if bounds.drop_is_below(rows=rows, better=o[0], worse=o[1], margin=margin)]
    ways = numpy.array([[b, w, rows - b - w] for b, w in proven]).reshape(-1, 3)
    first, last = max(0.0, -margin), (1 - margin) / 2
    for better in first + (last - first) * parts:
        chances = [better, better + margin, max(0.0, 1 - 2 * better - margin)]
        assert float(stats.multinomial.pmf(ways, rows, chances).sum()) <= ALPHA + ROUNDING


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("margin", [-0.3, 0.0, 0.05, 0.4])
def test_a_paired_proof_is_rarely_wrong(rows: int, margin: float) -> None:
    check_paired_proofs(rows=rows, margin=margin, parts=numpy.linspace(0, 1, 15) ** 2)


@pytest.mark.deep
@pytest.mark.parametrize("rows", [2, 5, 13, 20, 27])
@pytest.mark.parametrize("margin", [-0.5, -0.2, -0.05, 0.0, 0.02, 0.1, 0.2, 0.35, 0.6, 0.9])
def test_a_paired_proof_is_rarely_wrong_on_a_fine_grid(rows: int, margin: float) -> None:
    check_paired_proofs(rows=rows, margin=margin, parts=numpy.linspace(0, 1, 61) ** 2)


@pytest.mark.deep
@pytest.mark.parametrize("rows", [3, 7, 12])
def test_paired_bounds_are_rarely_wrong(rows: int) -> None:
    found = {outcome: bounds.drop(rows=rows, better=outcome[0], worse=outcome[1]) for outcome in outcomes(rows)}
    for better, worse in itertools.product(numpy.linspace(0, 1, 13), repeat=2):
        if better + worse > 1:
            continue
        weights = {
            (b, w): float(stats.multinomial.pmf([b, w, rows - b - w], rows, [better, worse, 1 - better - worse]))
            for b, w in found
        }
        true = worse - better
        assert sum(weights[o] for o, (low, _) in found.items() if low > true + 1e-12) <= ALPHA + ROUNDING
        assert sum(weights[o] for o, (_, high) in found.items() if high < true - 1e-12) <= ALPHA + ROUNDING


def test_270_rows_without_one_worse_answer_still_allow_a_drop_of_1_1_points() -> None:
    assert bounds.drop(rows=270, better=0, worse=0)[1] == pytest.approx(0.0110, abs=0.0001)
    assert bounds.drop_is_below(rows=270, better=0, worse=0, margin=0.0112)
    assert not bounds.drop_is_below(rows=270, better=0, worse=0, margin=0.0109)


def test_five_rows_prove_next_to_nothing() -> None:
    assert not bounds.drop_is_below(rows=5, better=0, worse=0, margin=0.4)


@pytest.mark.parametrize(("margin", "proven"), [(1.5, True), (-1.0, False), (-1.5, False)])
def test_what_can_not_be_otherwise(margin: float, proven: bool) -> None:
    assert bounds.drop_is_below(rows=4, better=1, worse=1, margin=margin) is proven


def test_nothing_is_proven_without_rows() -> None:
    assert not bounds.drop_is_below(rows=0, better=0, worse=0, margin=0.9)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.data())
def test_one_worse_row_less_never_weakens_a_proof(rows: int, data: st.DataObject) -> None:
    worse = data.draw(st.integers(1, rows))
    better = data.draw(st.integers(0, rows - worse))
    margin = data.draw(st.floats(-0.5, 0.9))
    if bounds.drop_is_below(rows=rows, better=better, worse=worse, margin=margin):
        assert bounds.drop_is_below(rows=rows, better=better, worse=worse - 1, margin=margin)


def test_many_rows_are_no_burden_and_come_near_the_normal_bound() -> None:
    low, high = bounds.drop(rows=2000, better=30, worse=40)
    half = 1.645 * math.sqrt(70) / 2000
    assert high == pytest.approx(0.005 + half, rel=0.15)
    assert low == pytest.approx(0.005 - half, abs=0.2 * half)


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("values", [(0.0, 0.5, 1.0), (0.0, 0.1, 1.0), (0.4, 0.5, 0.6)])
def test_bounds_of_a_mean_are_rarely_wrong(rows: int, values: tuple[float, ...]) -> None:
    counts = [c for c in itertools.product(range(rows + 1), repeat=3) if sum(c) == rows]
    found = {}
    for count in counts:
        seen = numpy.repeat(values, count)
        found[count] = bounds.ratio(numerators=seen, denominators=numpy.ones(rows), low=0.0, high=1.0)
    for chances in ((0.9, 0.05, 0.05), (0.5, 0.0, 0.5), (0.02, 0.02, 0.96), (0.98, 0.0, 0.02), (0.3, 0.4, 0.3)):
        true = float(numpy.dot(chances, values))
        weights = {count: float(stats.multinomial.pmf(count, rows, chances)) for count in counts}
        assert sum(weights[c] for c, (low, _) in found.items() if low > true + 1e-9) <= ALPHA
        assert sum(weights[c] for c, (_, high) in found.items() if high < true - 1e-9) <= ALPHA


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_bounds_of_a_ratio_hold_where_rows_differ_in_weight(chance: float) -> None:
    """Two kinds of rows: of weight 1 with 1 or 0, of weight 0.25 always with 0."""
    rows, true = 6, chance / (1 + 0.25)
    wrong = 0.0
    for right, wrong_rows in itertools.product(range(rows + 1), repeat=2):
        if right + wrong_rows > rows:
            continue
        light = rows - right - wrong_rows
        numerators = numpy.repeat([1.0, 0.0, 0.0], [right, wrong_rows, light])
        denominators = numpy.repeat([1.0, 1.0, 0.25], [right, wrong_rows, light])
        low, _ = bounds.ratio(numerators=numerators, denominators=denominators, low=0.0, high=1.0)
        chances = [chance / 2, (1 - chance) / 2, 0.5]
        weight = float(stats.multinomial.pmf([right, wrong_rows, light], rows, chances))
        wrong += weight * (low > true + 1e-9)
    assert wrong <= ALPHA


def test_a_mean_with_little_spread_is_known_well() -> None:
    low, high = bounds.ratio(numerators=numpy.full(270, 0.02), denominators=numpy.ones(270), low=0.0, high=2.0)
    assert low < 0.02 < high < 0.06


def test_a_mean_that_can_not_be_negative_is_not() -> None:
    assert bounds.mean_is_not_negative(numpy.zeros(1), smallest=0.0)
    assert not bounds.mean_is_not_negative(numpy.full(3, 0.1), smallest=-1.0)
    assert bounds.mean_is_not_negative(numpy.full(300, 0.1), smallest=-1.0)


@pytest.mark.parametrize(("positives", "negatives"), [(3, 3), (2, 5)])
@pytest.mark.parametrize("chance", [0.2, 0.5, 0.8])
def test_bounds_of_auroc_are_rarely_wrong(positives: int, negatives: int, chance: float) -> None:
    """A positive scores 1 with `chance` and a negative with the rest, else both score 0."""
    true = chance * chance + chance * (1 - chance)
    low_wrong = high_wrong = 0.0
    for p, n in itertools.product(range(positives + 1), range(negatives + 1)):
        weight = stats.binom.pmf(p, positives, chance) * stats.binom.pmf(n, negatives, 1 - chance)
        positive = numpy.repeat([1.0, 0.0], [p, positives - p])
        negative = numpy.repeat([1.0, 0.0], [n, negatives - n])
        low, high = bounds.auroc(positive=positive, negative=negative)
        low_wrong += float(weight) * (low > true + 1e-9)
        high_wrong += float(weight) * (high < true - 1e-9)
    assert max(low_wrong, high_wrong) <= ALPHA


def test_many_negatives_do_not_make_up_for_few_positives() -> None:
    """Three positives score 1 by a coin's chance, else as negatives do: all three do so once in eight times."""
    low, _ = bounds.auroc(positive=numpy.ones(3), negative=numpy.zeros(40))
    assert low <= 0.75


@pytest.mark.parametrize("at", [0.5, 0.9])
@pytest.mark.parametrize("rows", [1, 4, 5, 10, 40])
def test_bounds_of_a_quantile_are_rarely_wrong(rows: int, at: float) -> None:
    """Ranks of uniform values: how many lie below the quantile is binomial, and the bounds depend on nothing else."""
    low_wrong = high_wrong = 0.0
    for below in range(rows + 1):
        values = numpy.concatenate([-1 - numpy.arange(below), 1 + numpy.arange(rows - below)]).astype(float)
        weight = float(stats.binom.pmf(below, rows, at))
        low, high = bounds.quantile(values, at=at)
        low_wrong += weight * (low > 0)
        high_wrong += weight * (high < 0)
    assert max(low_wrong, high_wrong) <= ALPHA


def test_few_rows_have_no_bound_of_a_high_quantile() -> None:
    assert bounds.quantile(numpy.arange(10.0), at=0.9) == (6.0, math.inf)
    assert bounds.quantile(numpy.arange(29.0), at=0.9)[1] == 28.0
