"""The operator's own adapter on simulated samples: evidence as it would be read in production."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from modelrelease.adapters.gateway.capabilities import envoy_gateway_cluster, envoy_gateway_mirror
from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.adapters.prometheus.client import PrometheusClient, Series
from modelrelease.domain import naming
from modelrelease.domain.codec import parse_duration
from modelrelease.domain.counts import Evidence
from modelrelease.domain.observed import Meta, Protocol, Slot
from modelrelease.domain.plan import Window
from modelrelease.domain.spec import Spec
from modelrelease.simulate.counters import Samples, Store
from modelrelease.simulate.scenario import Scenario
from modelrelease.simulate.serving import Serving
from modelrelease.simulate.tape import Version
from modelrelease.simulate.world import NAME, NAMESPACE, OLD

LOOK_BACK = 300.0  # seconds: how old a value may be that a subquery still takes

_QUERY = re.compile(r"(?P<name>\w*)\{(?P<matchers>.*)\}\[(?P<range>\w+)(?::(?P<step>\w+))?\]")
_MATCHER = re.compile(r'(?P<label>\w+)=(?P<regex>~?)"(?P<value>(?:[^"\\]|\\.)*)"')


class SimulatedPrometheus(PrometheusClient):
    """Answers range selectors and subqueries of selectors: all that the adapter asks for."""

    def __init__(self, store: Store) -> None:
        super().__init__("http://simulated")
        self._store = store

    async def series(self, query: str, *, at: datetime) -> tuple[Series, ...]:
        """Return the series of a query; samples younger than the scenario's lag are not there yet."""
        asked = _QUERY.fullmatch(query)
        assert asked is not None, f"the simulated metrics do not understand {query}"
        length, step = parse_duration(asked["range"]), asked["step"] and parse_duration(asked["step"])
        known = at.timestamp() - self._store.scenario.ingestion_lag
        found = []
        for samples in self._store.series():
            if not _takes(asked["name"], asked["matchers"], samples.labels):
                continue
            if step:
                found.append(_moments(samples, end=at.timestamp(), length=length, step=step, known=known))
            else:
                first = bisect_right(samples.times, at.timestamp() - length)
                found.append(samples.between(first, bisect_right(samples.times, known)))
        return tuple(series for series in found if series.samples)


def _takes(name: str, matchers: str, labels: Mapping[str, str]) -> bool:
    if name and labels["__name__"] != name:
        return False
    for matcher in _MATCHER.finditer(matchers):
        value, wanted = labels.get(matcher["label"], ""), matcher["value"].replace("\\\\", "\\")
        if not (re.fullmatch(wanted, value) if matcher["regex"] else wanted == value):
            return False
    return True


def _moments(samples: Samples, *, end: float, length: float, step: float, known: float) -> Series:
    """Return the last value before each multiple of `step` in a range, as far as it is known."""

    def values() -> Iterator[tuple[float, float]]:
        last = int(end // step)
        for number in range(int((end - length) // step) + 1, last + 1):
            when = number * step
            index = bisect_right(samples.times, min(when, known)) - 1
            if index >= 0 and when - samples.times[index] < LOOK_BACK:
                yield when, samples.values[index]

    return Series(labels=samples.labels, samples=tuple(values()))


@dataclass
class Scraped:
    """Evidence that goes through counters, scrapes and the adapter."""

    spec: Spec
    serving: Serving
    scenario: Scenario
    rng: np.random.Generator
    store: Store = field(init=False)
    _adapter: PrometheusEvidence = field(init=False)
    _runner: asyncio.Runner = field(init=False, default_factory=asyncio.Runner)

    def __post_init__(self) -> None:
        protocol = self._protocols[0]
        clusters = {
            Version.STABLE: envoy_gateway_cluster(NAMESPACE, NAME, protocol, Slot.STABLE),
            Version.CANDIDATE: envoy_gateway_cluster(NAMESPACE, NAME, protocol, Slot.CANDIDATE),
            Version.SHADOW: envoy_gateway_mirror(NAMESPACE, NAME, protocol),
        }
        self.store = Store(
            serving=self.serving, scenario=self.scenario, protocol=protocol, clusters=clusters, rng=self.rng
        )
        self._adapter = PrometheusEvidence(SimulatedPrometheus(self.store))

    @property
    def _protocols(self) -> tuple[Protocol, ...]:
        gateway = self.spec.traffic.gateway
        return (Protocol.HTTP,) if gateway.http is not None else (Protocol.GRPC,)

    def evidence(self, window: Window) -> Evidence:
        """Return what the adapter reads of a window."""
        meta = Meta(name=NAME, namespace=NAMESPACE, uid="uid", generation=1, resource_version="1")
        return self._runner.run(
            self._adapter.read(
                meta=meta,
                spec=self.spec,
                protocols=self._protocols,
                window=window,
                stable=OLD,
                candidate=naming.revision(self.spec),
            )
        )

    def close(self) -> None:
        """Let go of the event loop."""
        self._runner.close()
