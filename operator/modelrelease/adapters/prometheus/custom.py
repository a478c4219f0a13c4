"""The metrics of a release's own: counters of bad and all, sums of losses, numbers with a threshold.

One that has no numbers is told apart from the others, with its reason; it stops no other metric.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise

from modelrelease.adapters.prometheus import blocks
from modelrelease.adapters.prometheus.blocks import Grid
from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.increments import Layout, Steps
from modelrelease.adapters.prometheus.problems import MetricsError
from modelrelease.adapters.prometheus.reading import MOST_AGE, Moments, Reader
from modelrelease.adapters.prometheus.sampled import Sampled, sampled
from modelrelease.domain import naming, promql
from modelrelease.domain.counts import CustomCount
from modelrelease.domain.observed import Meta, Slot
from modelrelease.domain.plan import Window
from modelrelease.domain.policy import CustomMetric
from modelrelease.domain.problem import Problem

LAYOUT = Layout()

# A counter falls when its process restarts; what falls more often than that is no counter.
_MOST_FALLS = 3
_FALLING_SHARE = 0.2

Places = Mapping[str, Mapping[str, str]]  # by arm: what the placeholders stand for


def places(*, meta: Meta, stable: str | None, candidate: str | None, mirror: Slot | None) -> Places:
    """Return what the placeholders stand for in each arm; copies go to the preview Service, or to stable's own."""
    slots = {"stable": (Slot.STABLE, stable), "candidate": (Slot.CANDIDATE, candidate)}
    if mirror is not None and mirror is not Slot.STABLE:
        slots["shadow"] = (mirror, candidate)
    return {
        arm: {
            "slot": naming.service(meta.name, slot),
            "revision": revision,
            "namespace": meta.namespace,
            "name": meta.name,
        }
        for arm, (slot, revision) in slots.items()
        if revision is not None
    }


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """The counters of one metric in one arm."""

    bad: Sampled
    total: Sampled

    def counts(self, name: str, over: Grid) -> Mapping[int, CustomCount]:
        """Return the counts of each block in which there are any."""
        bad, total = (blocks.counts(one.steps, over) for one in (self.bad, self.total))
        found = {}
        for index in bad.keys() | total.keys():
            all_ = sum(count.increase for count in total.get(index, ()))
            some = sum(count.increase for count in bad.get(index, ()))
            found[index] = CustomCount(name=name, bad=min(some, all_), total=all_)
        return found


@dataclass(frozen=True, kw_only=True)
class Custom:
    """What was read of a release's own metrics."""

    pairs: Mapping[tuple[str, str], _Pair] = field(default_factory=dict)  # by metric and arm
    problems: Mapping[str, Problem] = field(default_factory=dict)
    values: tuple[CustomCount, ...] = ()
    before: tuple[CustomCount, ...] = ()

    def counts(self, over: Grid) -> Mapping[tuple[int, str], tuple[CustomCount, ...]]:
        """Return the counts by block and arm."""
        found: dict[tuple[int, str], list[CustomCount]] = defaultdict(list)
        for (name, arm), pair in self.pairs.items():
            for index, count in pair.counts(name, over).items():
                found[index, arm].append(count)
        return {key: tuple(counts) for key, counts in found.items()}

    def complete_until(self, *, end: datetime) -> float:
        """Return up to when no count will change any more, of the sources that are still scraped."""
        until = math.inf
        for one in (source for pair in self.pairs.values() for source in (pair.bad, pair.total)):
            scrape, newest = one.scrape, one.newest
            if scrape is not None and newest is not None and end.timestamp() - newest <= blocks.PATIENCE * scrape:
                until = min(until, blocks.complete_until(one.scraped, scrape=scrape, end=end))
        return until


async def read(reader: Reader, metrics: Iterable[CustomMetric], *, at: Places, window: Window) -> Custom:
    """Return the counts of a window and the values at its end; a metric without numbers is among the problems."""
    known = [metric for metric in metrics if at]
    pairs: dict[tuple[str, str], _Pair] = {}
    problems: dict[str, Problem] = {}
    values: list[CustomCount] = []
    before: list[CustomCount] = []

    async def one(metric: CustomMetric) -> None:
        try:
            if metric.value is not None:
                if window.before is not None:
                    before.append(await _value(reader, metric, at=at, end=window.before))
                values.append(await _value(reader, metric, at=at, end=window.end))
            else:
                found = await _pairs(reader, metric, at=at, start=window.start, end=window.end)
                pairs.update({(metric.name, arm): pair for arm, pair in found.items()})
        except MetricsError as error:
            problems[metric.name] = _of(metric, error.problem)
        except promql.QueryError as error:
            problems[metric.name] = _of(metric, Problem(reason="QueryInvalid", message=f"its query {error}"))

    await asyncio.gather(*(one(metric) for metric in known))
    values += [CustomCount(name=m.name, bad=0.0, total=0.0) for m in known if m.value and m.name in problems]
    return Custom(pairs=pairs, problems=problems, values=tuple(values), before=tuple(before))


async def past(reader: Reader, metrics: Iterable[CustomMetric], *, at: Places, moments: Moments) -> Custom:
    """Return stable's counts at some moments; a metric that has none then has no history, which is no problem."""
    pairs = {}
    for metric in metrics:
        bad, total = (metric.bad, metric.total) if metric.bad else (metric.sum, metric.count)
        if bad is None or total is None or "stable" not in at:
            continue
        try:
            queries = [_selector(query, at["stable"]) for query in (bad, total)]
            found = await asyncio.gather(*(reader.past(query, moments) for query in queries))
            (pairs[metric.name, "stable"],) = _paired(found)
        except (MetricsError, promql.QueryError):
            continue
    return Custom(pairs=pairs)


async def _pairs(
    reader: Reader, metric: CustomMetric, *, at: Places, start: datetime, end: datetime
) -> Mapping[str, _Pair]:
    bad, total = (metric.bad, metric.total) if metric.bad is not None else (metric.sum, metric.count)
    if bad is None or total is None:
        raise promql.QueryError("is only one half: set bad and total, or sum and count")
    # Counters that are told by the revision alone count answered requests and copies in one.
    apart = "slot" in promql.placeholders(bad) & promql.placeholders(total)
    arms = [arm for arm in at if arm != "shadow" or apart]
    texts = [(_selector(bad, at[arm]), _selector(total, at[arm])) for arm in arms]
    found = await asyncio.gather(
        *(reader.window(query, start=start, end=end) for queries in texts for query in queries)
    )
    _check_counters(one for series in found for one in series)
    pairs = dict(zip(arms, _paired(found), strict=True))
    _check(pairs, texts=dict(zip(arms, texts, strict=True)), start=start, end=end)
    return pairs


def _selector(query: str, names: Mapping[str, str]) -> str:
    filled = promql.fill(query, names)
    promql.selector(filled)
    return filled


def _paired(found: Sequence[Sequence[Series]]) -> list[_Pair]:
    """Return pairs from what was read for their counters, one after the other.

    All counters of a metric are looked at together: one that a process makes with its first bad
    request is then known to have started at zero, for the process has been scraped before.
    """
    every = {_key(series): series for part in found for series in part}
    whole = sampled(every.values(), layout=LAYOUT)
    steps = {_key(one): one for one in whole.steps}

    def part(series: Sequence[Series]) -> Sampled:
        return replace(whole, series=tuple(series), steps=tuple(steps[_key(one)] for one in series))

    return [_Pair(bad=part(bad), total=part(total)) for bad, total in zip(found[::2], found[1::2], strict=True)]


def _key(series: Series | Steps) -> frozenset[tuple[str, str]]:
    return frozenset(series.labels.items())


def _check_counters(found: Iterable[Series]) -> None:
    """Raise if a series is no counter: it falls more often than processes restart."""
    for one in found:
        falls = [after < before for (_, before), (_, after) in pairwise(one.samples)]
        if sum(falls) >= _MOST_FALLS and sum(falls) > _FALLING_SHARE * len(falls):
            raise MetricsError(
                reason="MetricsNotACounter",
                message=f"{one} falls again and again ({sum(falls)} times in {len(falls)} scrapes): "
                "name a counter, which only grows while its process runs; what rises and falls is a value",
            )


def _check(pairs: Mapping[str, _Pair], *, texts: Mapping[str, tuple[str, str]], start: datetime, end: datetime) -> None:
    """Raise if the counts of a metric can't be what it says they are."""
    newest = max((pair.total.newest for pair in pairs.values() if pair.total.newest is not None), default=None)
    if newest is None or not any(pair.total.series for pair in pairs.values()):
        queries = " and ".join(dict.fromkeys(total for _, total in texts.values()))
        raise MetricsError(
            reason="MetricsEmpty",
            message=f"Prometheus has no series for {queries}: correct the selector, or let Prometheus scrape it",
        )
    if (age := end - datetime.fromtimestamp(newest, UTC)) > MOST_AGE:
        raise MetricsError(
            reason="MetricsStale",
            message=f"its newest counts are {age.total_seconds():.0f} s old: look whether its source is still scraped",
        )
    if "candidate" in pairs and "stable" in pairs and pairs["candidate"].total.series:
        mine, theirs = ({str(s) for s in pairs[arm].total.series} for arm in ("candidate", "stable"))
        if shared := mine & theirs:
            raise MetricsError(
                reason="MetricsAmbiguous",
                message=f"its selector takes {min(shared)} for stable and candidate alike: "
                "tell them apart by a label with $slot or $revision",
            )
    for arm, pair in pairs.items():
        since = start.timestamp()
        bad, total = (
            sum(step for one in source.steps for when, step in one.steps if when > since)
            for source in (pair.bad, pair.total)
        )
        # The two are not read at one moment: a request may be in one of them already.
        if bad > 1.02 * total + 5:
            raise MetricsError(
                reason="MetricsImplausible",
                message=f"of {arm} it has {bad:g} bad of {total:g}, which can't be: `bad` must count some of what "
                "`total` counts, and a `sum` must add up losses from 0 to 1, one for each that `count` counts",
            )


async def _value(reader: Reader, metric: CustomMetric, *, at: Places, end: datetime) -> CustomCount:
    names = at.get("candidate") or at["stable"]
    assert metric.value is not None
    try:
        found = await reader.value(promql.fill(metric.value, names), at=end)
    except MetricsError as error:
        if error.problem.reason != "MetricsEmpty":
            raise
        # No number may be the answer while there is no traffic: it says nothing, and nothing is wrong.
        return CustomCount(name=metric.name, bad=0.0, total=0.0)
    return CustomCount(name=metric.name, bad=found, total=1.0)


def _of(metric: CustomMetric, problem: Problem) -> Problem:
    return Problem(reason=problem.reason, message=f"metric {metric.name}: {problem.message}")
