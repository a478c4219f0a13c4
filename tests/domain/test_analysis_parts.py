"""The smaller parts: confidence sequences, the split, pairs of answers, classes, the budget."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.domain.analysis import budget, drift, paired, sequences, split
from modelrelease.domain.analysis.kernel import Counts
from modelrelease.domain.analysis.paired import Paired
from modelrelease.domain.counts import Arm, Pairs


@pytest.mark.parametrize(("x", "n", "p", "expected"), [(8, 10, 0.5, 1024 / 495), (0, 100, 0.05, 1.672315)])
def test_the_beta_mixture_has_its_closed_form(x: float, n: float, p: float, expected: float) -> None:
    assert math.exp(sequences.log_e_beta(x=x, n=n, p=p)) == pytest.approx(expected, abs=1e-6)


def test_mixture_and_sequence_agree_with_confseq() -> None:
    # Its unit tests: the two-sided beta-binomial mixture (s, v, v_opt, g, h) = (10, 100, 100, .2, .8); 700 of 1000.
    limit = math.log(1 / 0.05)
    weight = 100 / (2 * limit + math.log1p(2 * limit)) / (0.2 * 0.8) - 1
    assert sequences.log_e_beta(x=135, n=625, p=0.2, a=0.2 * weight, b=0.8 * weight) == pytest.approx(-0.6941012)
    low, high = sequences.bounds(x=700, n=1000, alpha=0.05, best=100)
    assert (low, high) == (pytest.approx(0.651629, abs=1e-6), pytest.approx(0.745949, abs=1e-6))


@given(n=st.integers(1, 2000), data=st.data())
def test_bounds_enclose_the_estimate_and_rise_with_the_failures(n: int, data: st.DataObject) -> None:
    x = data.draw(st.integers(0, n - 1))
    (low, high), (more_low, more_high) = (sequences.bounds(x=k, n=n, alpha=0.05) for k in (x, x + 1))
    assert 0 <= low <= x / n <= high <= 1
    assert low <= more_low + 1e-12 and high <= more_high + 1e-12


@given(n=st.floats(2, 1e6), share=st.floats(0, 1), alpha=st.floats(1e-4, 0.1))
def test_a_bound_is_rejected_and_what_lies_a_little_within_is_not(n: float, share: float, alpha: float) -> None:
    x, limit = n * share, math.log(1 / alpha)
    weight = sequences.BEST / (2 * limit + math.log1p(2 * limit)) - 1

    def log_e(p: float) -> float:
        return sequences.log_e_beta(x=x, n=n, p=p, a=p * weight, b=(1 - p) * weight)

    for bound in sequences.bounds(x=x, n=n, alpha=alpha):
        within = bound + (2e-12 + 2e-9 * bound) * math.copysign(1, x / n - bound)
        assert not 0 < bound < 1 or log_e(bound) > limit
        assert not 0 < within < 1 or log_e(within) <= limit + 1e-6


def test_bounds_hold_at_all_looks_at_once() -> None:
    rng = numpy.random.default_rng(11)
    missed = 0
    for _ in range(60):
        x = numpy.cumsum(rng.random(400) < 0.1)
        spans = [sequences.bounds(x=float(x[n - 1]), n=float(n), alpha=0.1) for n in range(1, 401, 7)]
        missed += any(not low <= 0.1 <= high for low, high in spans)
    assert missed <= 10  # of 6 to be expected at most


def test_the_split_is_judged_against_what_was_commanded() -> None:
    assert split.log_e(counts=(9700, 300), share=(0.95, 0.05)) == pytest.approx(46.192689, abs=1e-5)
    assert split.log_e(counts=(9500, 500), share=(0.95, 0.05)) == pytest.approx(-2.324083, abs=1e-5)
    alarm = math.log(split.THRESHOLD)
    assert split.log_e_off(candidate=500, stable=9500, weight=0.05) < alarm
    assert split.log_e_off(candidate=420, stable=9580, weight=0.05) < alarm  # within a point
    assert split.log_e_off(candidate=50, stable=9950, weight=0.05) > alarm
    assert split.log_e_off(candidate=0, stable=0, weight=0.05) < alarm


def wealth(pairs: list[tuple[int, int, int]]) -> list[Paired]:
    path, state = [], Paired()
    for worse, better, same in pairs:
        state = paired.fold(state, Pairs(count=worse + better + same, worse=worse, better=better))
        path.append(state)
    return path


@pytest.mark.parametrize("better", [0.0, 0.1, 0.3])
def test_pairs_make_no_money_under_the_null_whenever_one_stops(better: float) -> None:
    for null, name, sign in ((paired.FAIL_MARGIN, "against", 1), (paired.MARGIN, "favour", -1)):
        worse = better + null
        chance = {(1, 0, 0): worse, (0, 1, 0): better, (0, 0, 1): 1 - worse - better}
        if sign < 0:
            assert worse - better == pytest.approx(paired.MARGIN)
        total = stopped = 0.0
        for outcome in product(chance, repeat=6):
            weight = math.prod(chance[each] for each in outcome)
            path = [math.exp(getattr(state, name)) for state in wealth(list(outcome))]
            total += weight * path[-1]
            stopped += weight * next((value for value in path if value >= 1.05), path[-1])
        assert total <= 1 + 1e-9
        assert stopped <= 1 + 1e-9


def test_pairs_that_agree_pass_after_few_hundreds_and_bad_ones_fail_sooner() -> None:
    agree = wealth([(0, 0, 15)] * 40)
    assert next(state.count for state in agree if state.favour >= math.log(20)) <= 450
    bad = wealth([(1, 0, 14)] * 40)
    assert next(state.count for state in bad if state.against >= math.log(400)) <= 300
    assert paired.restarted(bad[-1]) == replace(bad[-1], favour=0.0)


@pytest.mark.parametrize("pairs", [(5, 3, 3), (-1, 0, 0), (math.nan, 0, 0), (5, math.inf, 0)])
def test_pairs_that_can_not_be_are_not_sound(pairs: tuple[float, float, float]) -> None:
    assert not paired.sound(Pairs(count=pairs[0], worse=pairs[1], better=pairs[2]))


def test_classes_have_the_multinomial_e_value() -> None:
    guess = ((0.5, 0.3, 0.2), (0.25, 0.15, 0.6))
    assert drift.log_e(stable=(50, 30, 20), candidate=(5, 3, 12), guess=guess) == pytest.approx(6.089345, abs=1e-6)


def test_a_shift_of_classes_is_found_and_none_is_made_up() -> None:
    rng = numpy.random.default_rng(4)

    def play(shares: tuple[float, ...]) -> drift.Classes:
        state = drift.Classes()
        for _ in range(60):
            arms = []
            for n, ratio in ((700, (0.5, 0.3, 0.2)), (40, shares)):
                arms.append(Arm(classes=tuple(zip("abc", rng.multinomial(n, ratio).tolist(), strict=True))))
            state = drift.fold(state, stable=arms[0], candidate=arms[1])
        return state

    same, other = play((0.5, 0.3, 0.2)), play((0.4, 0.3, 0.3))
    assert same.log_e < math.log(drift.THRESHOLD) < other.log_e
    largest = drift.largest(other)
    assert largest is not None and largest[0] in "ac"
    index = drift.stability_index(other)
    assert index is not None and index > 0.05
    few = drift.fold(drift.Classes(), stable=Arm(classes=(("a", 50.0),)), candidate=Arm(classes=(("b", 50.0),)))
    assert drift.stability_index(few) is None
    assert drift.fold(few, stable=Arm(classes=(("a", math.nan),)), candidate=Arm(classes=(("a", 1.0),))) == few


def one(x_s: float, n_s: float, x_c: float, n_c: float) -> Counts:
    return Counts(*(numpy.array([value]) for value in (x_s, n_s, x_c, n_c)))


def test_the_budget_counts_what_is_beyond_the_line_and_never_falls_below_nothing() -> None:
    line, quiet = (0.00125, 1.025), (0.0, 1.0)
    spent = budget.fold(0.0, counts=one(10, 1000, 30, 100), line=line, noise=quiet)
    assert spent == pytest.approx(30 - 100 * (0.00125 + 1.025 * 0.01))
    assert budget.fold(spent, counts=one(10, 1000, 30, 100), line=line, noise=(0.0, 2.0)) < 2 * spent
    assert budget.fold(1.0, counts=one(10, 1000, 0, 1000), line=line, noise=quiet) == 0.0
    assert budget.fold(7.0, counts=one(0, 0, 5, 5), line=line, noise=quiet) == 7.0


def test_the_budget_has_a_floor_that_chance_does_not_reach() -> None:
    rng = numpy.random.default_rng(6)
    base, ratio, line = 0.05, 1.0, (0.00125, 1.025)
    most = budget.limit(budget=0, base=base, line=line, ratio=ratio)
    assert budget.limit(budget=1e6, base=base, line=line, ratio=ratio) == 1e6
    x_s, x_c = rng.binomial(500, base, (2, 400, 500))
    walk = numpy.zeros(500)
    peak = numpy.zeros(500)
    for s, c in zip(x_s, x_c, strict=True):
        walk = numpy.maximum(0.0, walk + c - 500 * (line[0] + line[1] * s / 500))
        peak = numpy.maximum(peak, walk)
    assert (peak >= most).mean() <= 0.004
    assert (peak >= most / 2).mean() > 0.01  # the floor is not far above what is needed
    assert budget.limit(budget=5, base=0.01, line=(0.0, 1.0), ratio=1.0) == math.inf
