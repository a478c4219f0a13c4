"""Which samples are asked for, and of whom: all of a window's, and the past thinned out.

Looks at many releases that fall together are one query: while it is answered the next ones
gather. An answer that would be too large is asked for in halves, so that one release which asks
for too much keeps no other from its counts.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from modelrelease.adapters.prometheus.client import PrometheusClient, Series, check_numbers
from modelrelease.adapters.prometheus.increments import GAP_SECONDS
from modelrelease.adapters.prometheus.presets.base import Selector
from modelrelease.adapters.prometheus.problems import MetricsError

T = TypeVar("T")
Told = Callable[[int, str], None]

# With an older newest sample there is no evidence: an outage of the metrics must not let a step pass.
MOST_AGE = timedelta(minutes=2)
# What an operator that was away for longer has missed stays unjudged: it was away.
MOST_WINDOW = timedelta(hours=6)
# A release is looked at every few seconds; only after an absence is there more to read than fits one answer.
PIECE = timedelta(hours=1)
MOST_MOMENTS = 1500  # of a history

MOST_TOGETHER = timedelta(minutes=15)  # a longer window is asked for alone: its samples are too many
MOST_VALUES = 256  # in one pattern; up to so many Prometheus looks up one by one, beyond it tries every series
MOST_AT_ONCE = 4  # queries that Prometheus is asked at the same time


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The past at some moments: the last value before each multiple of `step` seconds.

    As exact as all samples would be, unless a counter is reset between two moments: what it
    counted between the earlier one and the reset is lost.
    """

    start: float
    step: float
    count: int

    @property
    def end(self) -> datetime:
        """The last moment."""
        return datetime.fromtimestamp(self.start + self.count * self.step, UTC)

    @property
    def range(self) -> str:
        """The range of a subquery, evaluated at `end`, that gives `count` + 1 values, at least."""
        return f"[{_duration(math.ceil((self.count + 0.5) * self.step))}:{_duration(self.step)}]"


def moments(*, end: datetime, seconds: float, scrape: float) -> Moments:
    """Return the moments that show a past of some seconds at the spacing of the scrapes, or a multiple of it."""
    step = scrape * math.ceil(max(1.0, seconds / scrape / MOST_MOMENTS))
    count = max(1, math.floor(seconds / step))
    # Prometheus evaluates subqueries at whole multiples of their step.
    last = math.floor(end.timestamp() / step) * step
    return Moments(start=last - count * step, step=step, count=count)


def query(selector: Selector | str, *, start: datetime, end: datetime) -> str:
    """Return the query, to be evaluated at `end`, of all that counts after `start`."""
    return f"{selector}[{_duration(max(0.0, (end - start).total_seconds()) + GAP_SECONDS)}]"


@dataclass(frozen=True, kw_only=True)
class _Question:
    """One look, and where its answer goes."""

    selector: Selector
    start: datetime
    end: datetime
    answer: asyncio.Future[tuple[Series, ...]]


def nobody(looks: int, result: str) -> None:
    """Tell nobody of a query."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads counters and numbers. Made anywhere, used in one event loop.

    `told` is told of every query: how many looks it answered, and `success` or the reason why not.
    """

    client: PrometheusClient
    told: Told = nobody
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))
    _waiting: dict[Selector, deque[_Question]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def window(self, selector: Selector | str, *, start: datetime, end: datetime) -> tuple[Series, ...]:
        """Return all samples that tell what was counted after `start`, up to `end`.

        Raises:
            MetricsError: Prometheus gave no usable answer.

        """
        start = min(start, end)  # the clock may have jumped back
        if isinstance(selector, Selector) and end - start <= MOST_TOGETHER:
            return await self._together(selector, start=start, end=end)
        parts = []
        while end - start > PIECE:
            parts.append(await self._alone(query(selector, start=start, end=start + PIECE), at=start + PIECE))
            start += PIECE + timedelta(seconds=GAP_SECONDS)  # the next range begins where this one ended
        parts.append(await self._alone(query(selector, start=start, end=end), at=end))
        return _joined(parts)

    async def past(self, selector: Selector | str, moments: Moments) -> tuple[Series, ...]:
        """Return the values of some moments.

        Raises:
            MetricsError: Prometheus gave no usable answer.

        """
        return await self._alone(f"{selector}{moments.range}", at=moments.end)

    async def value(self, text: str, *, at: datetime) -> float:
        """Return the one number that a query gives.

        Raises:
            MetricsError: Prometheus gave no usable answer, or not one number.

        """
        async with self._free:
            return await self._counted(self.client.number(text, at=at), looks=1)

    async def _alone(self, text: str, *, at: datetime) -> tuple[Series, ...]:
        async with self._free:
            found = await self._counted(self.client.series(text, at=at), looks=1)
        for series in found:
            check_numbers(series)
        return found

    async def _together(self, selector: Selector, *, start: datetime, end: datetime) -> tuple[Series, ...]:
        question = _Question(selector=selector, start=start, end=end, answer=asyncio.get_running_loop().create_future())
        kind = replace(selector, values=frozenset())
        if kind in self._waiting:
            self._waiting[kind].append(question)
        else:
            self._waiting[kind] = deque([question])
            task = asyncio.create_task(self._answer_all(kind))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await question.answer

    async def _answer_all(self, kind: Selector) -> None:
        """Answer the looks of one kind, first come first served, until none waits."""
        waiting, batch = self._waiting[kind], [*self._waiting[kind]]
        try:
            await asyncio.sleep(0)  # whoever looks in this round of the loop is in the first query
            while waiting:
                async with self._free:
                    batch = _taken(waiting)
                    await self._answer(batch)
        except BaseException as error:  # whoever waits must not wait for ever
            for question in (*batch, *waiting):
                _end(question, error)
            raise
        finally:
            del self._waiting[kind]

    async def _answer(self, batch: Sequence[_Question]) -> None:
        """Answer some looks with one query, or with one for each half if that is refused as too much."""
        whole = replace(batch[0].selector, values=frozenset().union(*(one.selector.values for one in batch)))
        start, end = min(one.start for one in batch), max(one.end for one in batch)
        try:
            found = await self._counted(
                self.client.series(query(whole, start=start, end=end), at=end), looks=len(batch)
            )
        except MetricsError as error:
            if error.smaller and len(batch) > 1:
                await self._answer(batch[: len(batch) // 2])
                await self._answer(batch[len(batch) // 2 :])
                return
            for one in batch:
                _end(one, error)
            return
        by_value: dict[str, list[Series]] = defaultdict(list)
        for series in found:
            by_value[series.labels.get(whole.label, "")].append(series)
        for one in batch:
            try:
                mine = tuple(_own(one, (s for value in sorted(one.selector.values) for s in by_value[value])))
            except MetricsError as error:
                _end(one, error)
            else:
                _end(one, mine)

    async def _counted(self, answer: Awaitable[T], *, looks: int) -> T:
        result = "success"
        try:
            return await answer
        except MetricsError as error:
            result = error.problem.reason
            raise
        finally:
            self.told(looks, result)


def _taken(waiting: deque[_Question]) -> list[_Question]:
    """Take as many looks as one query may ask for; at least one."""
    taken = [waiting.popleft()]
    values = set(taken[0].selector.values)
    while waiting and len(values | waiting[0].selector.values) <= MOST_VALUES:
        values |= waiting[0].selector.values
        taken.append(waiting.popleft())
    return taken


def _own(question: _Question, found: Iterable[Series]) -> Iterable[Series]:
    """Yield what a look would have found alone."""
    first, last = question.start.timestamp() - GAP_SECONDS, question.end.timestamp()
    for series in found:
        samples = tuple(sample for sample in series.samples if first < sample[0] <= last)
        if samples:
            mine = Series(labels=series.labels, samples=samples)
            check_numbers(mine)
            yield mine


def _end(question: _Question, answer: tuple[Series, ...] | BaseException) -> None:
    if question.answer.done():  # nobody waits any more
        return
    if isinstance(answer, asyncio.CancelledError):
        question.answer.cancel()
    elif isinstance(answer, BaseException):
        question.answer.set_exception(answer)
    else:
        question.answer.set_result(answer)


def _duration(seconds: float) -> str:
    milliseconds = math.ceil(round(seconds * 1000, 3))
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def _joined(parts: Iterable[tuple[Series, ...]]) -> tuple[Series, ...]:
    samples: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = defaultdict(list)
    for series in (one for part in parts for one in part):
        mine = samples[frozenset(series.labels.items())]
        newest = mine[-1][0] if mine else -math.inf
        mine += [sample for sample in series.samples if sample[0] > newest]
    return tuple(Series(labels=dict(labels), samples=tuple(found)) for labels, found in samples.items())
