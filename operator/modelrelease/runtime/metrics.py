"""What the operator counts, in Prometheus' format.

Gauges about releases are made from the cached objects when they are asked for: a release
costs nothing between two scrapes and vanishes from the metrics when it is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelrelease.adapters.kinds import Manifest
from modelrelease.runtime.judged import Judged
from modelrelease.runtime.queue import WorkQueue

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WHO = ("namespace", "release")


class Metrics:
    """The counters, and the registry that is scraped."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "modelrelease_reconciles", "Decisions taken, by result.", ["result"], registry=self.registry
        )
        self._seconds = Histogram(
            "modelrelease_reconcile_seconds", "Time per decision.", buckets=_SECONDS, registry=self.registry
        )
        self._requests = Counter(
            "modelrelease_api_requests",
            "Requests to the API server, by what it answered; watches apart.",
            ["kind", "verb", "result"],
            registry=self.registry,
        )
        self.judged = Judged()
        self.registry.register(self.judged)
        self._transitions = Counter(
            "modelrelease_transitions", "Phases that releases came to.", [*_WHO, "phase"], registry=self.registry
        )
        self._queries = Counter(
            "modelrelease_metrics_queries",
            "Queries to Prometheus, by what came of them.",
            ["result"],
            registry=self.registry,
        )
        self._looks = Counter(
            "modelrelease_metrics_looks",
            "Looks at the counts of a release that those queries were for; several share one.",
            registry=self.registry,
        )

    def reconciled(self, *, result: str, seconds: float) -> None:
        """Count one decision."""
        self._reconciles.labels(result).inc()
        self._seconds.observe(seconds)

    def requested(self, *, kind: str, verb: str, result: str) -> None:
        """Count one request to the API server."""
        self._requests.labels(kind, verb, result).inc()

    def asked(self, looks: int, result: str) -> None:
        """Count one query to Prometheus that several looks may have shared."""
        self._queries.labels(result).inc()
        self._looks.inc(looks)

    def transition(self, *, namespace: str, release: str, phase: str) -> None:
        """Count a release that came to a phase."""
        self._transitions.labels(namespace, release, phase).inc()

    def show(self, *, queue: WorkQueue, releases: Callable[[], Iterable[Manifest]]) -> None:
        """Show the state of a queue and of the cached releases from now on."""
        self.registry.register(_QueueState(queue))
        self.registry.register(_Releases(releases))


class _QueueState(Collector):
    """The queue as it is when asked."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        queue = self._queue
        for name, text, value in (
            ("depth", "Releases that wait for a worker.", len(queue)),
            ("delayed", "Releases that are due at a moment in the future.", queue.delayed),
            ("working", "Releases that are worked on.", len(queue.working)),
            ("oldest_seconds", "How long the release at the head of the queue has waited.", queue.oldest_age),
        ):
            yield GaugeMetricFamily(f"modelrelease_queue_{name}", text, value=value)


class _Releases(Collector):
    """The releases as their status says."""

    def __init__(self, releases: Callable[[], Iterable[Manifest]]) -> None:
        self._releases = releases

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "modelrelease_info", "A release, its phase and versions.", labels=[*_WHO, "phase", "stable", "candidate"]
        )
        weight = GaugeMetricFamily(
            "modelrelease_candidate_weight_percent",
            "The candidate's share of the traffic: desired, accepted by the gateway, observed.",
            labels=[*_WHO, "weight"],
        )
        condition = GaugeMetricFamily(
            "modelrelease_condition", "1 where the condition is True, 0 where it is not.", labels=[*_WHO, "type"]
        )
        age = GaugeMetricFamily(
            "modelrelease_evidence_age_seconds", "Age of the verdicts in the status of a candidate.", labels=[*_WHO]
        )
        for release in self._releases():
            who = [release["metadata"]["namespace"], release["metadata"]["name"]]
            status: Manifest = release.get("status") or {}
            stable, candidate = status.get("stable") or {}, status.get("candidate") or {}
            versions = [stable.get("version", ""), candidate.get("version", "")]
            info.add_metric([*who, str(status.get("phase", "")), *versions], 1)
            weights = {"desired": 0, "accepted": 0, **(candidate.get("weight") or {})}
            for name, percent in weights.items():
                weight.add_metric([*who, name], percent)
            for entry in status.get("conditions") or ():
                condition.add_metric([*who, entry["type"]], entry["status"] == "True")
            if seen := candidate.get("verdictsAt"):
                age.add_metric(who, max(0.0, (datetime.now(UTC) - datetime.fromisoformat(seen)).total_seconds()))
        yield from (info, weight, condition, age)
