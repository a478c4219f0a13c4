"""Looks at many releases share queries; what goes wrong with one stays with it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.adapters.prometheus import reading
from modelrelease.adapters.prometheus.client import PrometheusClient, Series
from modelrelease.adapters.prometheus.presets.base import Selector
from modelrelease.adapters.prometheus.problems import MetricsError
from modelrelease.adapters.prometheus.reading import Reader

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Fake(PrometheusClient):
    """Has one series for each value that a pattern names, and refuses what it is told to."""

    def __init__(self, refuse: Callable[[list[str]], MetricsError | None] = lambda values: None) -> None:
        super().__init__("http://fake")
        self.queries: list[str] = []
        self.refuse = refuse
        self.running = self.most_running = 0

    async def series(self, query: str, *, at: datetime) -> tuple[Series, ...]:
        self.queries.append(query)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        values = re.findall(r"r\d+", query)
        if (error := self.refuse(values)) is not None:
            raise error
        end = at.timestamp()
        return tuple(
            Series(
                labels={"__name__": "x", "cluster": value},
                samples=((end - 400, 1.0), (end - 60, 2.0), (end, float("nan") if value == "r13" else 3.0)),
            )
            for value in values
        )


def selector(number: int, name: str = "x") -> Selector:
    return Selector(names=(name,), label="cluster", values=frozenset({f"r{number}", f"r{number + 5000}"}))


async def look(reader: Reader, number: int, *, minutes: float = 1, name: str = "x") -> tuple[Series, ...] | str:
    try:
        return await reader.window(selector(number, name), start=NOW - timedelta(minutes=minutes), end=NOW)
    except MetricsError as error:
        return error.problem.reason


async def test_a_hundred_looks_are_one_query_and_each_gets_its_own_series() -> None:
    told: list[tuple[int, str]] = []
    fake = Fake()
    reader = Reader(client=fake, told=lambda looks, result: told.append((looks, result)))
    found = await asyncio.gather(*(look(reader, number) for number in range(100, 200)))
    assert len(fake.queries) == 1
    assert told == [(100, "success")]
    for number, series in enumerate(found, start=100):
        assert isinstance(series, tuple)
        assert {one.labels["cluster"] for one in series} == {f"r{number}", f"r{number + 5000}"}


async def test_a_pattern_is_bounded_and_the_first_come_are_the_first_served() -> None:
    fake = Fake()
    reader = Reader(client=fake)
    await asyncio.gather(*(look(reader, number) for number in range(100, 400)))
    asked = [[int(value[1:]) for value in re.findall(r"r\d+", query)] for query in fake.queries]
    assert [len(values) for values in asked] == [256, 256, 88]
    assert {number for number in asked[0] if number < 5000} == set(range(100, 228))


async def test_what_comes_while_a_query_is_answered_is_in_the_next_one() -> None:
    fake = Fake()
    reader = Reader(client=fake)
    first = asyncio.create_task(look(reader, 100))
    while not fake.queries:  # noqa: ASYNC110 - the first query is on its way
        await asyncio.sleep(0)
    await asyncio.gather(first, *(look(reader, number) for number in range(101, 120)))
    assert len(fake.queries) == 2


async def test_counts_and_latencies_and_long_windows_are_queries_of_their_own() -> None:
    fake = Fake()
    reader = Reader(client=fake)
    await asyncio.gather(
        look(reader, 100), look(reader, 101, name="y"), look(reader, 102, minutes=16), look(reader, 103, minutes=70)
    )
    ranges = sorted(query[query.index("[") :] for query in fake.queries)
    assert ranges == ["[1260s]", "[360s]", "[360s]", "[3900s]", "[600s]"]  # the last two join at an hour


async def test_a_shared_query_covers_all_windows_and_each_look_gets_its_own() -> None:
    fake = Fake()
    reader = Reader(client=fake)
    short, long = await asyncio.gather(look(reader, 100), look(reader, 101, minutes=3))
    assert [query[query.index("[") :] for query in fake.queries] == ["[480s]"]
    assert isinstance(short, tuple)
    assert isinstance(long, tuple)
    assert [len(series.samples) for series in (short[0], long[0])] == [2, 3]


async def test_a_look_sees_nothing_of_the_time_after_it() -> None:
    reader = Reader(client=Fake())
    early = reader.window(selector(100), start=NOW - timedelta(minutes=2), end=NOW - timedelta(seconds=30))
    found, _ = await asyncio.gather(early, look(reader, 101))
    assert [when - NOW.timestamp() for when, _ in found[0].samples] == [-400, -60]


async def test_a_window_that_ends_before_it_starts_still_tells_that_the_source_is_there() -> None:
    assert isinstance(found := await look(Reader(client=Fake()), 100, minutes=-10), tuple)
    assert len(found[0].samples) == 2


async def test_a_value_that_is_no_count_is_told_in_a_long_window_too() -> None:
    assert await look(Reader(client=Fake()), 13, minutes=16) == "MetricsNotANumber"


async def test_pieces_that_share_a_sample_have_it_once() -> None:
    class Same(Fake):
        async def series(self, query: str, *, at: datetime) -> tuple[Series, ...]:
            return (Series(labels={"cluster": "a"}, samples=((1.0, 1.0), (2.0, 2.0), (at.timestamp(), 3.0))),)

    found = await look(Reader(client=Same()), 1, minutes=70)
    assert isinstance(found, tuple)
    first = (NOW - timedelta(minutes=10)).timestamp()
    assert [when for when, _ in found[0].samples] == [1.0, 2.0, first, NOW.timestamp()]


async def test_a_release_with_a_value_that_is_no_count_stops_no_other() -> None:
    reader = Reader(client=Fake())
    found = await asyncio.gather(*(look(reader, number) for number in (12, 13, 14)))
    assert found[1] == "MetricsNotANumber"
    assert isinstance(found[0], tuple)
    assert isinstance(found[2], tuple)


async def test_a_query_that_is_too_much_is_halved_down_to_the_release_that_asks_too_much() -> None:
    def refuse(values: list[str]) -> MetricsError | None:
        too_large = "r37" in values
        return MetricsError(reason="MetricsTooLarge", message="", smaller=True) if too_large else None

    fake = Fake(refuse)
    reader = Reader(client=fake)
    found = await asyncio.gather(*(look(reader, number) for number in range(20, 60)))
    assert [i for i, answer in enumerate(found, start=20) if answer == "MetricsTooLarge"] == [37]
    assert sum(isinstance(answer, tuple) for answer in found) == 39
    assert len(fake.queries) <= 2 * 6 + 1  # one halving per level


async def test_a_server_that_is_away_is_not_asked_again_for_every_release() -> None:
    fake = Fake(lambda values: MetricsError(reason="MetricsUnreachable", message=""))
    reader = Reader(client=fake)
    found = await asyncio.gather(*(look(reader, number) for number in range(20)))
    assert set(found) == {"MetricsUnreachable"}
    assert len(fake.queries) == 1
    assert await look(reader, 3) == "MetricsUnreachable"
    assert len(fake.queries) == 2


async def test_only_so_many_queries_at_once() -> None:
    fake = Fake()
    reader = Reader(client=fake)
    await asyncio.gather(*(look(reader, number, minutes=20) for number in range(30)))
    assert (len(fake.queries), fake.most_running) == (30, reading.MOST_AT_ONCE)


async def test_a_look_that_is_given_up_leaves_the_others_their_answer() -> None:
    reader = Reader(client=Fake())
    gone, stays = (asyncio.create_task(look(reader, number)) for number in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    assert isinstance(await stays, tuple)
    assert gone.cancelled()


async def test_an_error_that_nobody_expects_reaches_everyone_who_waits() -> None:
    def broken(values: list[str]) -> MetricsError | None:
        raise ZeroDivisionError

    reader = Reader(client=Fake(broken))
    found = await asyncio.gather(*(look(reader, number) for number in (1, 2)), return_exceptions=True)
    assert [type(error) for error in found] == [ZeroDivisionError] * 2


@given(
    seconds=st.floats(1, 30000), scrape=st.sampled_from([0.1, 1.0, 5.0, 15.0, 30.0, 60.0]), end=st.integers(0, 10**9)
)
def test_moments_are_few_and_end_before_the_window(seconds: float, scrape: float, end: int) -> None:
    past = reading.moments(end=datetime.fromtimestamp(end, UTC), seconds=seconds, scrape=scrape)
    assert 1 <= past.count <= reading.MOST_MOMENTS
    last = past.start + past.count * past.step
    assert end - past.step - 1e-6 < last <= end + 1e-6
    assert abs(last / past.step - round(last / past.step)) < 1e-6
    assert past.count * past.step <= max(seconds, scrape) + 1e-6


def test_selectors_quote_and_escape_their_values() -> None:
    assert str(Selector(names=("x",), label="a", values=frozenset({'b"c\\'}))) == 'x{a="b\\"c\\\\"}'
    several = Selector(names=("x", "y"), label="a", values=frozenset({"b.c-d", "e"}), matchers=(("r", "s"),))
    assert str(several) == '{__name__=~"x|y",r="s",a=~"b\\\\.c-d|e"}'


@pytest.mark.parametrize(
    ("seconds", "text"), [(60, "[360s]"), (0.5, "[300500ms]"), (-5, "[300s]"), (0.0001, "[300001ms]")]
)
def test_a_query_covers_the_window_and_what_tells_about_its_beginning(seconds: float, text: str) -> None:
    assert reading.query("x", start=NOW, end=NOW + timedelta(seconds=seconds)) == f"x{text}"
