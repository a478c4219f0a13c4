"""Simulated gateway pods with raw counters, scraped as a metrics store would.

Each pod of the scenario is a process with counters of its own, named as Envoy names them. A
counter is there from its first count on. A restart forgets all counters of a process, with
what they had counted since the last scrape; a failed scrape leaves no samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from modelrelease.adapters.prometheus.client import Series
from modelrelease.domain.observed import Protocol
from modelrelease.simulate.scenario import Scenario
from modelrelease.simulate.serving import Serving, thin
from modelrelease.simulate.tape import Row, Version, infinite
from modelrelease.simulate.world import moment

Labels = tuple[tuple[str, str], ...]

_PRESENCE = "envoy_cluster_membership_total"
_CLASSES = "envoy_cluster_upstream_rq_xx"
_CALLS, _FAILED_CALLS = (f"envoy_cluster_grpc_ModelInfer_{what}" for what in ("total", "failure"))
_BUCKETS = "envoy_cluster_upstream_rq_time_bucket"


@dataclass
class Samples:
    """One series: (unix seconds, value), oldest first, and its value now; None while it is not there."""

    labels: Mapping[str, str]
    value: float | None = None
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def between(self, first: int, last: int) -> Series:
        """Return the samples from index `first` up to and without `last`."""
        return Series(
            labels=self.labels, samples=tuple(zip(self.times[first:last], self.values[first:last], strict=True))
        )


@dataclass
class _Process:
    """One scraped process: its counters, and when it was last there."""

    name: str
    series: dict[Labels, Samples] = field(default_factory=dict)
    last: float | None = None

    def count(self, name: str, *labels: tuple[str, str], by: float) -> None:
        if by:
            self.add(name, *labels, by=by)

    def add(self, name: str, *labels: tuple[str, str], by: float) -> None:
        found = self._series(name, labels)
        found.value = (found.value or 0.0) + by

    def present(self, cluster: str) -> None:
        self._series(_PRESENCE, (("envoy_cluster_name", cluster),)).value = 1.0

    def restart(self) -> None:
        for samples in self.series.values():
            samples.value = None

    def sample(self, when: float) -> None:
        for samples in self.series.values():
            if samples.value is not None:
                samples.times.append(when)
                samples.values.append(samples.value)

    def _series(self, name: str, labels: Labels) -> Samples:
        key = (("__name__", name), *labels)
        if key not in self.series:
            self.series[key] = Samples(labels={**dict(key), "job": "envoy", "instance": self.name})
        return self.series[key]


@dataclass
class Store:
    """All samples, made from what is served as time goes on. `clusters` are the gateway's names of the versions."""

    serving: Serving
    scenario: Scenario
    protocol: Protocol
    clusters: Mapping[Version, str]
    rng: np.random.Generator
    processes: dict[str, _Process] = field(default_factory=dict)
    _taken: dict[Version, int] = field(default_factory=lambda: dict.fromkeys(Version, 0))

    def series(self) -> Iterator[Samples]:
        """Yield every series there is, after scraping what was served meanwhile."""
        for (t, name), rows in sorted(self._fresh().items()):
            process = self._process(name, t)
            lives = self._restarts()
            if lives is not None:
                process.restart()
            for version, row in rows.items():
                self._count(process, version, row if lives is None else thin(row, lives, self.rng))
            process.last = t
            if self.rng.random() >= self.scenario.lost_scrapes:
                self._scrape(process, t)
        for process in self.processes.values():
            yield from process.series.values()

    def _fresh(self) -> dict[tuple[float, str], dict[Version, Row]]:
        """Return the rows that were served since the last time, by scrape and process."""
        found: dict[tuple[float, str], dict[Version, Row]] = defaultdict(dict)
        for version, rows in self.serving.counted.items():
            for row in rows[self._taken[version] :]:
                found[row.t, self._name(version, row.pod)][version] = row
            self._taken[version] = len(rows)
        return found

    def _name(self, version: Version, pod: str) -> str:
        """Return the process that counts a version: where they are read at different moments, not one for both."""
        apart = self.scenario.misalignment > 0 and version is not Version.STABLE
        return f"gateway{'-b' if apart else ''}-{pod or '0'}"

    def _process(self, name: str, t: float) -> _Process:
        """Return a process that is there at a scrape; one that was away is a new one under the old name."""
        process = self.processes.setdefault(name, _Process(name))
        if process.last is not None and t - process.last > 1.5 * self.scenario.scrape:
            process.restart()
        return process

    def _restarts(self) -> float | None:
        """Return which part of an interval a restarted process lived, None if it did not restart."""
        mean = self.scenario.restarts
        if mean is None or self.rng.random() >= self.scenario.scrape / mean:
            return None
        return float(self.rng.random())

    def _count(self, process: _Process, version: Version, row: Row) -> None:
        cluster = ("envoy_cluster_name", self.clusters[version])
        if self.protocol is Protocol.GRPC:
            process.count(_CALLS, cluster, by=row.requests)
            process.count(_FAILED_CALLS, cluster, by=row.failures)
        else:
            process.count(_CLASSES, cluster, ("envoy_response_code_class", "2"), by=row.requests - row.failures)
            process.count(_CLASSES, cluster, ("envoy_response_code_class", "5"), by=row.failures)
        if row.within[-1]:  # a histogram comes with all its buckets
            for bound, count in zip(infinite(self.serving.tape.bounds), row.within, strict=True):
                process.add(_BUCKETS, cluster, ("le", f"{bound:g}".replace("inf", "+Inf")), by=count)

    def _scrape(self, process: _Process, t: float) -> None:
        for cluster in self.clusters.values():
            process.present(cluster)
        process.sample(moment(t).timestamp())
