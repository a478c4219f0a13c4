"""`PrometheusEvidence`: what the arms of a release served, failed and how long it took, in blocks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from modelrelease.adapters.prometheus import blocks, custom, reading
from modelrelease.adapters.prometheus.client import PrometheusClient, Series
from modelrelease.adapters.prometheus.custom import Custom, Places
from modelrelease.adapters.prometheus.presets import Preset, Question
from modelrelease.adapters.prometheus.presets.envoy_gateway import PRESET as ENVOY_GATEWAY
from modelrelease.adapters.prometheus.problems import MetricsError
from modelrelease.adapters.prometheus.reading import MOST_AGE, MOST_WINDOW, Reader
from modelrelease.adapters.prometheus.sampled import Sampled, sampled
from modelrelease.domain.counts import Arm, Block, CustomCount, Evidence, History
from modelrelease.domain.observed import Meta, Protocol
from modelrelease.domain.plan import Window
from modelrelease.domain.policy import CustomMetric
from modelrelease.domain.spec import Spec


class PrometheusEvidence:
    """Counts of a release's arms, read from Prometheus; `told` is told of every query (see `Reader`)."""

    def __init__(
        self, client: PrometheusClient, *, preset: Preset = ENVOY_GATEWAY, told: reading.Told = reading.nobody
    ) -> None:
        self._client = client
        self._reader = Reader(client=client, told=told)
        self._preset = preset

    async def read(
        self,
        *,
        meta: Meta,
        spec: Spec,
        protocols: tuple[Protocol, ...],
        window: Window,
        stable: str | None,
        candidate: str | None,
    ) -> Evidence:
        """Return the blocks of a window and, where it asks for it, stable's history; `error` where there are none.

        `stable` and `candidate` are the revisions. They and the slots' Services fill the selectors of
        `spec.rollout.analysis.metrics`; of these the ones without numbers are in `problems`.
        """
        start = _start(window)
        look = _Look(
            reader=self._reader,
            preset=self._preset,
            question=self._preset.question(meta=meta, protocols=protocols, mirror=window.mirror),
            metrics=spec.rollout.analysis.metrics,
            places=custom.places(meta=meta, stable=stable, candidate=candidate, mirror=window.mirror),
            window=replace(window, start=start),
        )
        known = Evidence(
            start=window.start,
            end=window.end,
            error_query=reading.query(look.question.counts, start=start, end=window.end),
            latency_query=reading.query(look.question.latency, start=start, end=window.end),
        )
        try:
            return await look.evidence(known)
        except MetricsError as error:
            return replace(known, error=error.problem)

    async def close(self) -> None:
        """Close the connections to Prometheus."""
        await self._client.close()


@dataclass(frozen=True, kw_only=True)
class _Look:
    """One look at one release."""

    reader: Reader
    preset: Preset
    question: Question
    metrics: tuple[CustomMetric, ...]
    places: Places
    window: Window

    async def evidence(self, known: Evidence) -> Evidence:
        """Return what is known with what was read."""
        start, end = self.window.start, self.window.end
        counts, latency, own = await asyncio.gather(
            self.reader.window(self.question.counts, start=start, end=end),
            self.reader.window(self.question.latency, start=start, end=end),
            custom.read(self.reader, self.metrics, at=self.places, window=self.window),
        )
        # Other releases are served while this is counted.
        judged = await asyncio.to_thread(self._counted, known, (*counts, *latency), own)
        return replace(judged, history=await self._history(judged.scrape))

    def _counted(self, known: Evidence, series: Sequence[Series], own: Custom) -> Evidence:
        found = sampled(series, layout=self.preset.layout)
        _check_new(found.newest, self.question, end=self.window.end)
        made = self._blocks(found, own)
        return replace(
            known,
            stable=blocks.total(block.stable for block in made),
            candidate=blocks.total(block.candidate for block in made),
            blocks=made,
            scrape=found.scrape,
            saturated=self.question.saturated(found),
            values=own.values,
            values_before=own.before,
            problems=own.problems,
        )

    def _blocks(self, found: Sampled, own: Custom) -> tuple[Block, ...]:
        length, scrape, start = self.window.block, found.scrape, self.window.start
        if length is None or scrape is None:
            return ()
        until = blocks.complete_until(found.scraped, scrape=scrape, end=self.window.end)
        over = blocks.grid(start=start, length=length, until=min(until, own.complete_until(end=self.window.end)))
        arms = self.question.arms(found.series)
        made = blocks.blocks(found.steps, over, start=start, scraped=found.scraped, arms=arms)
        counted = own.counts(over)
        return tuple(_with_custom(block, index, counted) for index, block in enumerate(made))

    async def _history(self, scrape: float | None) -> History | None:
        """Return what stable did before the window; None where nothing asks for it, or nothing is known."""
        if self.window.history is None or scrape is None:
            return None
        past = reading.moments(end=self.window.start, seconds=self.window.history, scrape=scrape)
        counts, latency, own = await asyncio.gather(
            self.reader.past(replace(self.question.counts, values=self.question.stable), past),
            self.reader.past(replace(self.question.latency, values=self.question.stable), past),
            custom.past(self.reader, self.metrics, at=self.places, moments=past),
        )
        return await asyncio.to_thread(self._past, (*counts, *latency), own, past)

    def _past(self, series: Sequence[Series], own: Custom, past: reading.Moments) -> History:
        found = sampled(series, layout=self.preset.layout)
        over = blocks.Grid(start=past.start, length=past.step, count=past.count)
        tally = self.question.arms(found.series)["stable"]
        windows = blocks.windows(found.steps, over, scraped=found.scraped, tally=tally)
        counted = own.counts(over)
        first = over.count - len(windows)
        return History(
            block=past.step,
            windows=tuple(
                replace(arm, custom=counted.get((first + index, "stable"), ())) for index, arm in enumerate(windows)
            ),
            by_process=blocks.windows_by_process(found.steps, over, scraped=found.scraped, tally=tally),
        )


def _start(window: Window) -> datetime:
    """Return from when on to count: the start, or the first edge of its grid that is not too long ago."""
    late = window.end - MOST_WINDOW - window.start
    if late <= timedelta(0):
        return window.start
    block = timedelta(seconds=window.block or 1.0)
    return window.start + math.ceil(late / block) * block


def _with_custom(block: Block, index: int, counted: Mapping[tuple[int, str], tuple[CustomCount, ...]]) -> Block:
    def arm(name: str, known: Arm) -> Arm:
        return replace(known, custom=counted[index, name]) if (index, name) in counted else known

    return replace(
        block,
        stable=arm("stable", block.stable),
        candidate=arm("candidate", block.candidate),
        shadow=arm("shadow", block.shadow),
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
            "look whether Prometheus still reaches its pods, and whether the clocks agree",
        )
