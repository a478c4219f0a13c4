"""`PrometheusEvidence`: what both slots of a release served and failed in a window."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from modelrelease.adapters.gateway.capabilities import envoy_gateway_cluster
from modelrelease.adapters.prometheus import blocks, envoy, reading
from modelrelease.adapters.prometheus.client import MetricsError, PrometheusClient, Series
from modelrelease.adapters.prometheus.counters import check_unique, count, scrapes
from modelrelease.adapters.prometheus.increments import Scrapes, Steps, increments
from modelrelease.adapters.prometheus.increments import scrapes as scrapes_of
from modelrelease.adapters.prometheus.presets import Preset, Question
from modelrelease.adapters.prometheus.presets.envoy_gateway import PRESET as ENVOY_GATEWAY
from modelrelease.adapters.prometheus.window import Window
from modelrelease.domain import plan
from modelrelease.domain.observed import Arm, Block, Evidence, History, Meta, Protocol, Slot
from modelrelease.domain.spec import Spec

# With an older newest sample there is no evidence: an outage of the metrics must not let a step pass.
MOST_AGE = timedelta(minutes=2)

Clusters = Mapping[str, Protocol]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What was read, and what each scrape added."""

    series: tuple[Series, ...]
    steps: tuple[Steps, ...]
    scraped: Scrapes

    @classmethod
    def of(cls, series: tuple[Series, ...], preset: Preset) -> _Read:
        check_unique(series)
        return cls(
            series=series,
            steps=increments(series, layout=preset.layout),
            scraped=scrapes_of(series, layout=preset.layout),
        )

    @property
    def newest(self) -> float | None:
        return max((times[-1] for times in self.scraped.values()), default=None)

    @property
    def scrape(self) -> float | None:
        return blocks.spacing(self.scraped)


@dataclass(frozen=True, kw_only=True)
class _Samples:
    """What was read for one window."""

    window: Window
    counts: tuple[Series, ...]
    latencies: tuple[Series, ...]

    def arm(self, clusters: Clusters) -> Arm:
        """Return what some of the clusters counted."""
        scraped = scrapes((*self.counts, *self.latencies))
        since = self.window.start.timestamp()
        counts = count(self.counts, since=since, scraped=scraped)
        latencies = count(self.latencies, since=since + envoy.HISTOGRAM_LAG_SECONDS, scraped=scraped)
        return envoy.arm(counts, latencies, clusters=clusters)


class PrometheusEvidence:
    """Counts of both slots from Envoy Gateway's clusters, read from Prometheus."""

    def __init__(self, client: PrometheusClient) -> None:
        self._client = client
        self._preset: Preset = ENVOY_GATEWAY

    async def read(
        self,
        *,
        meta: Meta,
        spec: Spec,  # noqa: ARG002 - custom metrics come next
        protocols: tuple[Protocol, ...],
        window: plan.Window,
        stable: str | None,  # noqa: ARG002
        candidate: str | None,  # noqa: ARG002
    ) -> Evidence:
        """Return the blocks of a window and, where it asks for it, stable's history; `error` where there are none.

        `stable` and `candidate` are the revisions, for the selectors of `spec.rollout.analysis.metrics`.
        """
        start = max(window.start, window.end - reading.MOST_WINDOW)
        if window.block is not None and start > window.start:  # stay on the grid
            start = window.start + math.ceil((start - window.start).total_seconds() / window.block) * timedelta(
                seconds=window.block
            )
        question = self._preset.question(meta=meta, protocols=protocols, mirror=window.mirror)
        known = Evidence(
            start=window.start,
            end=window.end,
            error_query=reading.query(question.counts, start=start, end=window.end),
            latency_query=reading.query(question.latency, start=start, end=window.end),
        )
        try:
            return await self._blocks(known, question, start=start, window=window)
        except MetricsError as error:
            return replace(known, error=error.problem)

    async def _blocks(self, known: Evidence, question: Question, *, start: datetime, window: plan.Window) -> Evidence:
        found = await self._window(question, start=start, end=window.end)
        _check_new(found.newest, question, end=window.end)
        made: tuple[Block, ...] = ()
        if window.block is not None and found.scrape is not None:
            until = blocks.complete_until(found.scraped, scrape=found.scrape, end=window.end)
            over = blocks.grid(start=start, length=window.block, until=until)
            arms = question.arms(found.series)
            made = blocks.blocks(found.steps, over, start=start, scraped=found.scraped, arms=arms)
        past = None
        if window.history is not None and found.scrape is not None:
            past = await self._history(question, end=window.start, seconds=window.history, scrape=found.scrape)
        return replace(
            known,
            stable=blocks.total(block.stable for block in made),
            candidate=blocks.total(block.candidate for block in made),
            blocks=made,
            history=past,
            scrape=found.scrape,
        )

    async def _window(self, question: Question, *, start: datetime, end: datetime) -> _Read:
        parts = await asyncio.gather(
            reading.window(self._client, question.counts, start=start, end=end),
            reading.window(self._client, question.latency, start=start, end=end),
        )
        return _Read.of((*parts[0], *parts[1]), self._preset)

    async def _history(self, question: Question, *, end: datetime, seconds: float, scrape: float) -> History:
        past = reading.moments(end=end, seconds=seconds, scrape=scrape)
        parts = await asyncio.gather(
            reading.history(self._client, question.counts, past),
            reading.history(self._client, question.latency, past),
        )
        found = _Read.of((*parts[0], *parts[1]), self._preset)
        over = blocks.Grid(start=past.start, length=past.step, count=past.count)
        tally = question.arms(found.series)["stable"]
        windows = blocks.windows(found.steps, over, scraped=found.scraped, tally=tally)
        return History(
            block=past.step,
            windows=windows,
            by_process=blocks.windows_by_process(found.steps, over, scraped=found.scraped, tally=tally),
        )

    async def evidence(
        self,
        *,
        meta: Meta,
        protocols: tuple[Protocol, ...],
        start: datetime,
        end: datetime,
        baseline: tuple[datetime, datetime] | None,
    ) -> Evidence:
        """Return both slots' counts of a window; stable's of `baseline`, where that is given."""
        window = Window(start=start, end=end)
        stable, candidate = (_clusters(meta, protocols, slot) for slot in (Slot.STABLE, Slot.CANDIDATE))
        both = {**stable, **candidate}
        known = Evidence(
            start=start,
            end=end,
            error_query=window.query(envoy.counts_selector(both)),
            latency_query=window.query(envoy.latency_selector(both)),
        )
        try:
            now = await self._read(window, both)
            _check_fresh(now.counts, clusters=both, end=end)
            then = await self._read(Window(start=baseline[0], end=baseline[1]), stable) if baseline else now
        except MetricsError as error:
            return replace(known, error=error.problem)
        return replace(known, stable=then.arm(stable), candidate=now.arm(candidate))

    async def close(self) -> None:
        """Close the connections to Prometheus."""
        await self._client.close()

    async def _read(self, window: Window, clusters: Iterable[str]) -> _Samples:
        counts, latencies = await asyncio.gather(
            window.read(self._client, envoy.counts_selector(clusters)),
            window.read(self._client, envoy.latency_selector(clusters)),
        )
        check_unique(counts)
        check_unique(latencies)
        return _Samples(window=window, counts=counts, latencies=latencies)


def _clusters(meta: Meta, protocols: Iterable[Protocol], slot: Slot) -> Clusters:
    # The only gateway whose metrics tell the slots apart; a release on another one never gets as far.
    return {envoy_gateway_cluster(meta.namespace, meta.name, protocol, slot): protocol for protocol in protocols}


def _check_fresh(found: Iterable[Series], *, clusters: Iterable[str], end: datetime) -> None:
    """Raise if the gateway's counters are not there, or are not read any more."""
    newest = max((series.samples[-1][0] for series in found if series.samples), default=None)
    if newest is None:
        raise MetricsError(
            reason="MetricsEmpty",
            message=f"Prometheus knows none of the gateway's clusters {', '.join(clusters)}: let it scrape the Envoy "
            "pods (port 19001, /stats/prometheus), and look whether the gateway has taken the route",
        )
    age = end - datetime.fromtimestamp(newest, UTC)
    if age > MOST_AGE:
        raise MetricsError(
            reason="MetricsStale",
            message=f"the newest counts of the gateway are {age.total_seconds():.0f} s old: "
            "look whether Prometheus still reaches the Envoy pods, and whether the clocks agree",
        )


def _check_new(newest: float | None, question: Question, *, end: datetime) -> None:
    """Raise if the source's counters are not there, or are not read any more."""
    if newest is None:
        raise MetricsError(reason="MetricsEmpty", message=question.absent)
    age = end - datetime.fromtimestamp(newest, UTC)
    if age > MOST_AGE:
        raise MetricsError(
            reason="MetricsStale",
            message=f"the newest counts of the gateway are {age.total_seconds():.0f} s old: "
            "look whether Prometheus still reaches the Envoy pods, and whether the clocks agree",
        )
