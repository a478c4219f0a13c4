"""`PrometheusEvidence`: what both slots of a release served and failed in a window."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from modelrelease.adapters.gateway.capabilities import envoy_gateway_cluster
from modelrelease.adapters.prometheus import envoy
from modelrelease.adapters.prometheus.client import MetricsError, PrometheusClient, Series
from modelrelease.adapters.prometheus.counters import check_unique, count, scrapes
from modelrelease.adapters.prometheus.window import Window
from modelrelease.domain.observed import Arm, Evidence, Meta, Protocol, Slot

# With an older newest sample there is no evidence: an outage of the metrics must not let a step pass.
MOST_AGE = timedelta(minutes=2)

Clusters = Mapping[str, Protocol]


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
