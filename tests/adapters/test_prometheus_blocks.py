"""Counts on a grid: nothing is lost and nothing is there twice, whatever the scrapes saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.adapters.prometheus import blocks
from modelrelease.adapters.prometheus.blocks import Count, Grid
from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.increments import GAP_SECONDS, Layout, Steps, increments, scrapes

LAYOUT = Layout(
    series=frozenset({"__name__", "cluster_name"}), together=("cluster_name",), gauges=frozenset({"active", "members"})
)
Samples = tuple[tuple[float, float], ...]


def series(samples: Samples, name: str = "requests", *, cluster: str = "a", pod: str = "p") -> Series:
    return Series(labels={"__name__": name, "cluster_name": cluster, "pod": pod}, samples=samples)


def steps(*found: Series, of: int = 0) -> dict[float, float]:
    return dict(increments(found, layout=LAYOUT)[of].steps)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (((0, 10), (15, 12), (30, 17)), {15: 2, 30: 5}),
        (((0, 10), (15, 3), (30, 4)), {15: 3, 30: 1}),  # a reset
        (((0, 10), (15, 10), (30, 10)), {}),
        (((0, 10), (300, 12)), {300: 2}),
        (((0, 10), (301, 12), (310, 13)), {310: 1}),  # out of sight: nobody knows when it counted the two
        (((7, 10),), {}),
        ((), {}),
    ],
)
def test_what_each_scrape_adds(samples: Samples, expected: dict[float, float]) -> None:
    assert dict(next((s.steps for s in increments([series(samples)], layout=LAYOUT)), ())) == expected


def test_a_counter_that_appears_or_comes_back_at_a_later_scrape_started_at_zero() -> None:
    other = series(((0, 1), (15, 1), (30, 1), (45, 1), (60, 1)), "other")
    assert steps(series(((30, 8), (45, 9))), other) == {30: 8, 45: 1}
    assert steps(series(((0, 8), (15, 9), (45, 20), (60, 21))), other) == {15: 1, 45: 20, 60: 1}


def test_counters_that_are_made_together_start_anew_together() -> None:
    """Failures that outgrew what they were before the reset would else be more than all requests."""
    requests, failures = series(((0, 100), (15, 60))), series(((0, 2), (15, 30)), "failures")
    elsewhere = series(((0, 2), (15, 30)), "failures", cluster="b")
    found = increments([requests, failures, elsewhere], layout=LAYOUT)
    assert [dict(one.steps) for one in found] == [{15: 60}, {15: 30}, {15: 28}]


def test_a_counter_that_was_away_and_comes_back_lower_says_nothing_of_the_others() -> None:
    away, stays = series(((0, 100), (30, 7)), "rare"), series(((0, 50), (15, 60), (30, 70)))
    assert steps(away, stays) == {30: 7}
    assert steps(away, stays, of=1) == {15: 10, 30: 10}


def test_gauges_fall_without_a_reset_and_start_anew_with_one() -> None:
    gauge = series(((0, 9), (15, 4), (30, 6)), "active")
    assert steps(gauge, series(((0, 1), (15, 2), (30, 3)))) == {15: -5, 30: 2}
    assert steps(gauge, series(((0, 5), (15, 2), (30, 3)))) == {15: 4, 30: 2}


@dataclass(frozen=True)
class Played:
    """A process as it was scraped, and what its scrapes could know of each interval."""

    series: tuple[Series, ...]
    truth: tuple[tuple[float, float], ...]  # (scrape, visible increase of requests since the scrape before)


@st.composite
def played(draw: st.DrawFn, pod: str) -> Played:
    """Random scrape times, lost scrapes, restarts between two of them, and a counter that is made at its first use."""
    gaps = draw(st.lists(st.integers(1, 100), min_size=1, max_size=25))
    when, value, before = draw(st.integers(0, 50)), 0.0, None
    requests: list[tuple[float, float]] = []
    other, truth = [], []
    for gap in gaps:
        when += gap
        added = float(draw(st.integers(0, 9)))
        if other and other[-1][1] and draw(st.integers(0, 3)) == 0:  # a restart right after the scrape before
            value, before = 0.0, 0.0
            marker = 0.0
        else:
            marker = (other[-1][1] if other else 0.0) + 1
        value += added
        if before is not None:
            truth.append((float(when), value - before))
        other.append((float(when), marker))
        if value or draw(st.booleans()):
            requests.append((float(when), value))
        before = value
    found = (series(tuple(other), "other", pod=pod), series(tuple(requests), pod=pod))
    return Played(series=found, truth=tuple(truth))


def sums(found: tuple[Series, ...], over: Grid) -> list[float]:
    counted = blocks.counts(increments(found, layout=LAYOUT), over)
    return [
        sum(one.increase for one in counted.get(index, ()) if one.labels["__name__"] == "requests")
        for index in range(over.count)
    ]


@given(one=played("p"), other=played("q"), start=st.integers(-20, 200), length=st.integers(1, 120))
def test_blocks_add_up_to_what_the_scrapes_saw(one: Played, other: Played, start: int, length: int) -> None:
    count = math.ceil(3000 / length)
    over = Grid(start=float(start), length=float(length), count=count)
    seen = [(when, number) for p in (one, other) for when, number in p.truth]
    expected = [0.0] * count
    for when, number in seen:
        if (index := over.index(when)) is not None:
            assert start + index * length < when <= start + (index + 1) * length
            expected[index] += number
    assert sums((*one.series, *other.series), over) == expected
    assert sum(expected) == sum(number for when, number in seen if start < when <= start + count * length)


@given(one=played("p"), start=st.integers(0, 400), length=st.integers(1, 60), cut=st.integers(0, 8))
def test_a_later_look_from_a_later_block_finds_the_same_blocks(one: Played, start: int, length: int, cut: int) -> None:
    """After a restart less is read: what is left over must not depend on it."""
    count, later = 10, start + cut * length
    full = sums(one.series, Grid(start=float(start), length=float(length), count=count))
    rest = tuple(
        Series(labels=s.labels, samples=tuple(x for x in s.samples if x[0] > later - GAP_SECONDS)) for s in one.series
    )
    assert sums(rest, Grid(start=float(later), length=float(length), count=count - cut)) == full[cut:]


@given(one=played("p"), other=played("q"), seen_until=st.integers(1, 1500), more=st.integers(0, 300))
def test_a_complete_block_never_changes(one: Played, other: Played, seen_until: int, more: int) -> None:
    found = (*one.series, *other.series)

    def look(at: int) -> tuple[list[float], int]:
        known = tuple(Series(labels=s.labels, samples=tuple(x for x in s.samples if x[0] <= at)) for s in found)
        scraped = scrapes(known, layout=LAYOUT)
        until = blocks.complete_until(scraped, scrape=30, end=datetime.fromtimestamp(at, UTC))
        over = blocks.grid(start=datetime.fromtimestamp(10, UTC), length=20, until=until)
        return sums(known, over), over.count

    first, count = look(seen_until)
    second, _ = look(seen_until + more)
    assert second[:count] == first


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("newest", "end", "expected"),
    [
        ([100, 95], 120, 95),  # both are to be seen after the block
        ([100, 95], 105, 90),  # one scrape has to pass
        ([100, 60], 120, 100),  # the second is away
        ([100, 63], 120, 63),
        ([], 120, -math.inf),
    ],
)
def test_complete_until(newest: list[int], end: int, expected: float) -> None:
    scraped = {frozenset({("pod", str(i))}): [when - 15.0, float(when)] for i, when in enumerate(newest)}
    assert blocks.complete_until(scraped, scrape=15, end=at(end)) == expected


def test_a_grid_holds_the_whole_blocks_until_a_moment_and_none_before_its_start() -> None:
    assert blocks.grid(start=at(100), length=15, until=145).count == 3
    assert blocks.grid(start=at(100), length=15, until=144.9).count == 2
    assert blocks.grid(start=at(100), length=0.1, until=100.3).count == 3
    assert blocks.grid(start=at(100), length=15, until=-math.inf).count == 0
    over = blocks.grid(start=at(100), length=15, until=145)
    assert [over.index(when) for when in (100, 100.001, 115, 115.001, 145, 145.001)] == [None, 0, 0, 1, 2, None]


def test_a_block_without_a_scrape_is_empty_and_one_without_requests_is_not() -> None:
    def tally(counts: object) -> object:
        return blocks.Arm(latency=((1.0, 0.0),))

    scraped = {frozenset({("pod", "p")}): [110.0, 140.0]}
    over = blocks.grid(start=at(100), length=15, until=145)
    made = blocks.blocks((), over, start=at(100), scraped=scraped, arms={"stable": tally})  # type: ignore[dict-item]
    assert [block.stable.latency for block in made] == [((1.0, 0.0),), (), ((1.0, 0.0),)]
    assert [(block.start, block.end) for block in made][1] == (at(115), at(130))


def test_spacing_is_the_usual_one_in_few_digits() -> None:
    times = [0.0, 15.001, 30.0, 60.002, 75.001, 90.0]
    assert blocks.spacing({frozenset(): times}) == 15.0
    assert blocks.spacing({frozenset(): [0.0]}) is None


def test_windows_begin_with_the_first_scrape_and_keep_the_order_of_processes() -> None:
    p, q = (frozenset({("pod", pod)}) for pod in "pq")
    found = [
        Steps(labels={}, target=q, steps=((125.0, 3.0),)),
        Steps(labels={}, target=p, steps=((125.0, 1.0), (140.0, 2.0))),
    ]
    scraped = {q: [125.0], p: [125.0, 140.0]}
    over = Grid(start=100.0, length=15.0, count=3)

    def tally(counts: object) -> blocks.Arm:
        return blocks.Arm(requests=sum(one.increase for one in counts))  # type: ignore[attr-defined]

    assert [a.requests for a in blocks.windows(found, over, scraped=scraped, tally=tally)] == [4, 2]
    split = blocks.windows_by_process(found, over, scraped=scraped, tally=tally)
    assert [[a.requests for a in arms] for arms in split] == [[1, 3], [2, 0]]


def test_totals_have_the_bounds_that_all_have() -> None:
    arms = [
        blocks.Arm(requests=2, failures=1, latency=((1.0, 1.0), (5.0, 2.0))),
        blocks.Arm(),
        blocks.Arm(requests=3, latency=((5.0, 3.0),)),
    ]
    assert blocks.total(arms) == blocks.Arm(requests=5, failures=1, latency=((5.0, 5.0),))


def test_count_is_of_one_block() -> None:
    over = Grid(start=0.0, length=10.0, count=2)
    found = [Steps(labels={"a": "b"}, target=frozenset(), steps=((1.0, 1.0), (9.0, 2.0), (11.0, 4.0), (30.0, 8.0)))]
    counted = blocks.counts(found, over)
    assert {i: [c.increase for c in ones] for i, ones in counted.items()} == {0: [3.0], 1: [4.0]}
    assert isinstance(counted[0][0], Count)
