"""Portfolios over blocks: worth at most 1 under the null at any stopping time, and the same after any restart."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import product

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelrelease.domain.analysis import portfolio
from modelrelease.domain.analysis.kernel import Array, Counts, Line
from modelrelease.domain.analysis.lanes import Lanes, Memory, fresh, next_step


def contract(count: int = 1, *, margin: tuple[float, float] = (0.005, 0.1)) -> Lanes:
    a, r = margin
    one = numpy.ones(count)
    return Lanes(
        fail=Line(0.25 * a * one, (1 + 0.25 * r) * one), accept=Line(a * one, (1 + r) * one), weight=one / count
    )


def counts(rows: list[tuple[float, float, float, float]]) -> Counts:
    table = numpy.array(rows, dtype=float)
    return Counts(*(table[:, None, i] for i in range(4)))


def enumerated(blocks: int, n_s: int, n_c: int) -> tuple[Counts, Array]:
    """All outcomes of a few blocks, (blocks, outcomes, 1), and how often each is among the orders of requests."""
    single = list(product(range(n_s + 1), range(n_c + 1)))
    chosen = numpy.array(list(product(single, repeat=blocks)), dtype=float)  # (outcomes, blocks, 2)
    x_s, x_c = (chosen[:, :, i].T[:, :, None] for i in (0, 1))
    return Counts(x_s, numpy.full_like(x_s, n_s), x_c, numpy.full_like(x_c, n_c)), chosen


def chances(chosen: Array, n_s: int, n_c: int, ps: list[float], pc: list[float]) -> Array:
    def binomial(x: Array, n: int, p: float) -> Array:
        ways = numpy.array([math.comb(n, k) for k in range(n + 1)])
        return ways[x.astype(int)] * p**x * (1 - p) ** (n - x)

    result = numpy.ones(len(chosen))
    for block in range(chosen.shape[1]):
        result = result * binomial(chosen[:, block, 0], n_s, ps[block]) * binomial(chosen[:, block, 1], n_c, pc[block])
    return result


@pytest.mark.deep
@settings(max_examples=25, deadline=None)
@given(
    ps=st.lists(st.floats(0, 0.9), min_size=3, max_size=3),
    share=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    margin=st.sampled_from([(0.005, 0.1), (0.1, 0.5), (0.0, 0.0)]),
    noise=st.sampled_from([0.0, 0.3]),
    past=st.sampled_from([0.0, 5.0, 60.0]),
)
def test_stopped_after_any_of_three_blocks_wealth_is_worth_at_most_one(
    ps: list[float], share: list[float], margin: tuple[float, float], noise: float, past: float
) -> None:
    n_s, n_c = 3, 2
    lanes, (blocks, chosen) = contract(margin=margin), enumerated(3, n_s, n_c)
    start = fresh((len(chosen), 1), noise=noise)
    _, trace = portfolio.fold(lanes, start.with_history(numpy.array(past / 10), numpy.array(past)), blocks)
    fail_a, fail_r = (float(part[0]) for part in lanes.fail)
    pass_a, pass_r = (float(part[0]) for part in lanes.accept)
    below = [min(1.0, fail_a + fail_r * p) * part for p, part in zip(ps, share, strict=True)]
    above = [1 - (1 - min(1.0, pass_a + pass_r * p)) * part for p, part in zip(ps, share, strict=True)]
    for wealth, pc, legal in (
        (trace.fail_e, below, True),
        (trace.pass_e, above, all(pass_a + pass_r * p <= 1 for p in ps)),
    ):
        if not legal:
            continue
        chance, path = chances(chosen, n_s, n_c, ps, pc), wealth[:, :, 0]
        for block in range(3):
            assert float(chance @ path[block]) <= 1 + 1e-9
        for limit in (1.05, 1.5, 3.0):
            stops = numpy.where((path >= limit).any(axis=0), (path >= limit).argmax(axis=0), 2)
            assert float(chance @ path[stops, numpy.arange(path.shape[1])]) <= 1 + 1e-9


block = st.tuples(
    st.integers(0, 30), st.integers(0, 400), st.integers(0, 10), st.integers(0, 30), st.floats(0, 1), st.floats(0, 1)
).map(lambda b: (min(b[0], b[1]), b[1], min(b[2], b[3]), b[3]))


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(block, min_size=2, max_size=12), data=st.data())
def test_a_restart_at_any_block_changes_nothing(rows: list[tuple[int, int, int, int]], data: st.DataObject) -> None:
    lanes, start = contract(), fresh((1,), noise=0.003)
    cut = data.draw(st.integers(1, len(rows) - 1))
    whole, trace = portfolio.fold(lanes, start, counts(rows))
    first, _ = portfolio.fold(lanes, start, counts(rows[:cut]))
    second, rest = portfolio.fold(lanes, first, counts(rows[cut:]))
    assert numpy.log(rest.fail_e[-1]) == pytest.approx(numpy.log(trace.fail_e[-1]), abs=1e-9)
    for field in fields(Memory):
        assert getattr(second, field.name) == pytest.approx(getattr(whole, field.name), rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(block, min_size=1, max_size=8), data=st.data())
def test_another_failure_in_the_last_block_never_helps_the_candidate(
    rows: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    x_s, n_s, x_c, n_c = rows[-1]
    worse = [*rows[:-1], (x_s, n_s, min(x_c + 1, n_c), n_c)]
    (_, less), (_, more) = (portfolio.fold(contract(), fresh((1,)), counts(each)) for each in (rows, worse))
    assert more.fail_e[-1, 0] >= less.fail_e[-1, 0] * (1 - 1e-9)
    assert more.pass_e[-1, 0] <= less.pass_e[-1, 0] * (1 + 1e-9)


def test_releases_and_lanes_do_not_know_of_each_other() -> None:
    rng = numpy.random.default_rng(5)
    n_s, n_c = rng.integers(0, 300, (9, 4, 2)).astype(float), rng.integers(0, 20, (9, 4, 2)).astype(float)
    blocks = Counts(rng.binomial(n_s.astype(int), 0.05) * 1.0, n_s, rng.binomial(n_c.astype(int), 0.1) * 1.0, n_c)
    _, together = portfolio.fold(contract(2), fresh((4, 2)), blocks)
    for release, lane in product(range(4), range(2)):
        alone = Counts(*(part[:, release, lane : lane + 1] for part in blocks))
        one = replace(contract(), weight=numpy.array([0.5]))
        _, trace = portfolio.fold(one, fresh((1,)), alone)
        assert trace.fail_e[:, 0] == pytest.approx(together.fail_e[:, release, lane], rel=1e-12)


def test_a_gap_is_worth_nothing_and_lone_requests_wait_for_the_other_arm() -> None:
    start = fresh((1,))
    memory, trace = portfolio.fold(contract(), start, counts([(0, 0, 0, 0), (1, 100, 0, 0), (0, 0, 0, 0)]))
    assert trace.fail_e.tolist() == [[1.0]] * 3
    assert memory.held[0].tolist() == [1, 100, 0, 0]
    waited, _ = portfolio.fold(contract(), memory, counts([(0, 0, 4, 5)]))
    at_once, _ = portfolio.fold(contract(), start, counts([(1, 100, 4, 5)]))
    assert waited.fail_e == pytest.approx(at_once.fail_e)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_no_few_blocks_decide_however_bad_they_are(noise: float) -> None:
    lanes, least = contract(), portfolio.LEAST_BLOCKS if noise == 0 else portfolio.LEAST_NOISY_BLOCKS
    start = fresh((1,), noise=noise).with_history(numpy.array(10.0), numpy.array(100_000.0))
    _, trace = portfolio.fold(lanes, start, counts([(0, 9_000, 1_000, 1_000)] * least))
    decided = trace.fail_e[:, 0] >= 1 / lanes.alpha
    assert decided.tolist() == [False] * (least - 1) + [True]


def test_a_shared_outage_blames_nobody_and_costs_little() -> None:
    healthy = [(7, 712, 0, 38)] * 20
    before, _ = portfolio.fold(contract(), fresh((1,)), counts(healthy))
    after, _ = portfolio.fold(contract(), before, counts([(356, 712, 19, 38)]))
    assert float(after.fail_e[0]) < 4
    assert float(after.pass_e[0]) >= 0.099 * float(before.pass_e[0])


def test_a_new_step_forgets_what_spoke_for_the_candidate_and_keeps_what_speaks_against_it() -> None:
    memory, _ = portfolio.fold(contract(), fresh((2, 1)), Counts(*(numpy.full((30, 2, 1), v) for v in (7, 712, 3, 38))))
    after = next_step(memory, where=numpy.array([True, False]))
    assert (float(after.pass_best[0, 0]), float(after.pass_e[0, 0])) == (1.0, 1.0)
    assert after.fail_e.tolist() == memory.fail_e.tolist()
    assert after.pass_e[1].tolist() == memory.pass_e[1].tolist()
    assert after.averages.tolist() == memory.averages.tolist()


def test_requests_that_are_counted_twice_are_worth_what_they_are_once_where_phi_says_so() -> None:
    def favour(rows: list[tuple[float, float, float, float]], phi: float) -> float:
        known = fresh((1,), floor=phi).with_history(numpy.array(1e4), numpy.array(1e6))
        memory, _ = portfolio.fold(contract(), known, counts(rows))
        return float(numpy.log(memory.pass_e[0]))

    once = favour([(7, 712, 0, 38)] * 10, 1.0)
    assert once > 0.5
    assert favour([(14, 1424, 0, 76)] * 10, 2.0) == pytest.approx(once, rel=0.05)
    assert favour([(14, 1424, 0, 76)] * 10, 1.0) > 1.5 * once


def test_requests_counted_several_times_weigh_as_often_less() -> None:
    assert portfolio.tempering(numpy.array(0.0), numpy.array(2.0), n_s=numpy.array(9.0), n_c=numpy.array(9.0)) == 2.0
    phi = portfolio.tempering(numpy.array(0.01), numpy.array(1.0), n_s=numpy.array(900.0), n_c=numpy.array(100.0))
    assert phi == pytest.approx(1 + 2 * 0.01 * 90)
