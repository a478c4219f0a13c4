"""The kernel is an e-value: known values, exact expectations under the null, and its symmetries."""

from __future__ import annotations

from itertools import product

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelrelease.domain.analysis.kernel import Counts, Guess, Line, log_e, project

VECTORS = [  # x_s, n_s, x_c, n_c, t_s, t_c, a, r, u, log E
    (7, 712, 1, 38, 0.01, 0.01, 0.005, 1.1, 0.00978852, -0.240139),
    (7, 712, 4, 38, 0.01, 0.05, 0.0025, 1.05, 0.01156963, 3.766658),
    (0, 950, 0, 50, 0.0005, 0.0005, 0.005, 1.1, 0.00047487, 0.227992),
    (1, 950, 3, 50, 0.0005, 0.03, 0.0025, 1.05, 0.00087775, 5.038718),
    (50, 1000, 80, 1000, 0.05, 0.08, 0.0025, 1.05, 0.06200654, 2.477178),
    (50, 1000, 52, 1000, 0.05, 0.05, 0.005, 1.1, 0.04543181, 0.278365),
    (1, 95, 1, 5, 0.01, 0.06, 0.0, 1.0, (95 * 0.01 + 5 * 0.06) / 100, 1.385960),  # Turner, Ly and Gruenwald
]


def bet(x_s: float, n_s: float, x_c: float, n_c: float, t_s: float, t_c: float, a: float, r: float) -> float:
    counts = Counts(*(numpy.array(float(value)) for value in (x_s, n_s, x_c, n_c)))
    guess, line = Guess(numpy.array(t_s), numpy.array(t_c)), Line(numpy.array(a), numpy.array(r))
    return float(log_e(counts=counts, guess=guess, line=line))


@pytest.mark.parametrize("vector", VECTORS)
def test_blocks_with_known_values(vector: tuple[float, ...]) -> None:
    *arguments, u, expected = vector
    _, n_s, _, n_c, t_s, t_c, a, r = (numpy.array(float(value)) for value in arguments)
    assert project(n_s=n_s, n_c=n_c, guess=Guess(t_s, t_c), line=Line(a, r)) == pytest.approx(u, abs=1e-8)
    assert bet(*arguments) == pytest.approx(expected, abs=1e-6)


def test_without_stable_it_is_walds_test() -> None:
    expected = 5 * numpy.log(2) + 195 * numpy.log(0.98 / 0.99)
    assert bet(0, 0, 5, 200, 0.01, 0.02, 0.01, 0.0) == pytest.approx(expected, abs=1e-9)
    assert expected == pytest.approx(1.486023, abs=1e-6)


def test_an_arm_without_requests_says_nothing() -> None:
    assert bet(0, 0, 5, 20, 0.01, 0.3, 0.005, 1.1) == 0.0
    assert bet(1, 90, 0, 0, 0.01, 0.3, 0.005, 1.1) == 0.0


def expectation(ps: tuple[float, ...], pc: tuple[float, ...], *, guess: tuple[float, float], line: Line) -> float:
    """E[E] of one block by enumeration; every request has a ratio of its own."""
    x_s, x_c, chance = [], [], []
    for outcome in product((0, 1), repeat=len(ps) + len(pc)):
        x_s.append(sum(outcome[: len(ps)]))
        x_c.append(sum(outcome[len(ps) :]))
        chance.append(numpy.prod([p if hit else 1 - p for p, hit in zip((*ps, *pc), outcome, strict=True)]))
    n_s, n_c = (numpy.full(len(chance), float(len(arm))) for arm in (ps, pc))
    counts = Counts(numpy.array(x_s, float), n_s, numpy.array(x_c, float), n_c)
    value = numpy.exp(log_e(counts=counts, guess=Guess(*map(numpy.array, guess)), line=line))
    return float(numpy.dot(chance, value))


ratio = st.floats(0.0, 1.0)
arm = st.lists(ratio, min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    stable=arm,
    candidate=arm,
    t_s=st.floats(1e-5, 0.99),
    t_c=st.floats(1e-5, 0.99),
    a=st.sampled_from([0.0, 0.00125, 0.005, 0.1]),
    r=st.sampled_from([1.0, 1.025, 1.1, 1.5, 0.5]),
)
def test_no_null_makes_money_even_where_ratios_differ_within_the_block(
    stable: list[float], candidate: list[float], t_s: float, t_c: float, a: float, r: float
) -> None:
    border, average = a + r * float(numpy.mean(stable)), float(numpy.mean(candidate))
    line = Line(numpy.array(a), numpy.array(r))
    against = t_c > a + r * t_s
    if against and average > border:  # bring the candidate onto the null's side
        candidate = [p * border / average for p in candidate]
    if not against and average < border:
        if border > 1:
            return
        candidate = [1 - (1 - p) * (1 - border) / (1 - average) for p in candidate]
    assert expectation(tuple(stable), tuple(candidate), guess=(t_s, t_c), line=line) <= 1 + 1e-9


counts = st.integers(1, 400)


@settings(max_examples=150, deadline=None)
@given(n_s=counts, n_c=counts, data=st.data(), t_s=st.floats(1e-4, 0.5), t_c=st.floats(1e-4, 0.9))
def test_more_failures_of_the_candidate_never_speak_for_it(
    n_s: int, n_c: int, data: st.DataObject, t_s: float, t_c: float
) -> None:
    x_s, x_c = data.draw(st.integers(0, n_s)), data.draw(st.integers(0, n_c - 1))
    for a, r in ((0.00125, 1.025), (0.005, 1.1)):
        less, more = (bet(x_s, n_s, x, n_c, t_s, t_c, a, r) for x in (x_c, x_c + 1))
        assert more >= less - 1e-9 if t_c > a + r * t_s else more <= less + 1e-9


@settings(max_examples=100, deadline=None)
@given(n_s=counts, n_c=counts, data=st.data(), times=st.integers(2, 50))
def test_as_many_times_the_counts_are_as_many_times_the_evidence(
    n_s: int, n_c: int, data: st.DataObject, times: int
) -> None:
    x_s, x_c = data.draw(st.integers(0, n_s)), data.draw(st.integers(0, n_c))
    once = bet(x_s, n_s, x_c, n_c, 0.01, 0.05, 0.00125, 1.025)
    many = bet(times * x_s, times * n_s, times * x_c, times * n_c, 0.01, 0.05, 0.00125, 1.025)
    assert many == pytest.approx(times * once, abs=1e-6 * times)


@settings(max_examples=100, deadline=None)
@given(n_s=counts, n_c=counts, data=st.data(), t_s=st.floats(0.01, 0.5), more=st.floats(0.05, 0.4))
def test_the_arms_can_be_swapped_where_failures_become_successes(
    n_s: int, n_c: int, data: st.DataObject, t_s: float, more: float
) -> None:
    x_s, x_c = data.draw(st.integers(0, n_s)), data.draw(st.integers(0, n_c))
    here = bet(x_s, n_s, x_c, n_c, t_s, t_s + more, 0.005, 1.0)
    there = bet(n_c - x_c, n_c, n_s - x_s, n_s, 1 - t_s - more, 1 - t_s, 0.005, 1.0)
    assert there == pytest.approx(here, abs=1e-6 * (1 + abs(here)))
