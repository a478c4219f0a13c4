"""What Envoy counts for each of its clusters, and what of it is a request, a failure, a latency.

- HTTP: status classes. 4xx is a failure too: a release that breaks its schema answers 400.
- gRPC: a failed call is HTTP 200, so that calls and failures are counted by method.
- Requests without any answer are in neither: a client that gives up on a model that hangs
  leaves only a request that was sent upstream, never completed, and is no longer active.
- Latency is the histogram's own: Envoy merges the histograms of its threads every 5 s, while
  its counters are up to date. A share of slow requests has the histogram's total under it.

Of the copies that a mirror sends, only some protocols' failures can be seen; of the others the
latency alone is counted, for calls that can't fail would prove the candidate good.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelrelease.adapters.gateway.capabilities import ClusterName, MirrorName
from modelrelease.adapters.prometheus.blocks import Count, Tally
from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.increments import Layout, Target
from modelrelease.adapters.prometheus.presets.base import Question, Selector, histogram, shared_bounds
from modelrelease.adapters.prometheus.presets.saturation import ACTIVE, DROPPED, saturated
from modelrelease.adapters.prometheus.sampled import Sampled
from modelrelease.domain.counts import Arm
from modelrelease.domain.observed import Meta, Protocol, Slot

_CLUSTER = "envoy_cluster_name"

# Always there for a cluster, used or not: tells that the gateway knows the slots, and when it was scraped.
_PRESENCE = "envoy_cluster_membership_total"
_CLASSES = "envoy_cluster_upstream_rq_xx"
_SENT, _COMPLETED, _RETRIED = (f"envoy_cluster_upstream_rq_{what}" for what in ("total", "completed", "retry"))
_CALLS = tuple(f"envoy_cluster_grpc_{method}_total" for method in ("ModelInfer", "ModelStreamInfer"))
_FAILED_CALLS = tuple(f"envoy_cluster_grpc_{method}_failure" for method in ("ModelInfer", "ModelStreamInfer"))
_BUCKETS = "envoy_cluster_upstream_rq_time_bucket"

_GOOD_CLASSES = frozenset("123")

LAYOUT = Layout(
    series=frozenset(
        {
            "__name__",
            _CLUSTER,
            "envoy_response_code_class",
            "envoy_grpc_bridge_service",
            "envoy_grpc_bridge_method",
            "le",
        }
    ),
    together=(_CLUSTER,),
    gauges=frozenset({_PRESENCE, ACTIVE}),
)


@dataclass(frozen=True, kw_only=True)
class Envoy:
    """Envoys whose clusters have known names.

    Attributes:
        cluster: the name of a slot's cluster.
        mirror: the name of the cluster of copies, if there is one.
        mirrored_errors: the protocols whose failed copies can be told from good ones.

    """

    cluster: ClusterName
    mirror: MirrorName | None = None
    mirrored_errors: frozenset[Protocol] = frozenset()

    layout = LAYOUT

    def question(self, *, meta: Meta, protocols: Sequence[Protocol], mirror: Slot | None) -> Question:
        """Return what to read for a release."""
        where = meta.namespace, meta.name
        clusters = {slot: {self.cluster(*where, p, slot): p for p in protocols} for slot in _SLOTS}
        copies = {self.mirror(*where, p): p for p in protocols} if mirror is not None and self.mirror else {}
        every = {**clusters[Slot.STABLE], **clusters[Slot.CANDIDATE], **copies}
        names = (_PRESENCE, _CLASSES, _SENT, _COMPLETED, _RETRIED, ACTIVE, DROPPED, *_CALLS, *_FAILED_CALLS)
        answered = every.keys() - copies.keys()

        def full(found: Sampled) -> str:
            mine = copies if mirror is Slot.PREVIEW else ()
            return saturated(found, copies=mine, answered=answered, layout=LAYOUT)

        def arms(found: Sequence[Series]) -> Mapping[str, Tally]:
            bounds = shared_bounds(found, of=lambda series: (series.labels[_CLUSTER], LAYOUT.target(series)))
            tallies = {
                slot.value: _Tally(clusters=mine, judged=frozenset(protocols), bounds=bounds)
                for slot, mine in clusters.items()
            }
            if copies:
                # What stable answers to copies is the control of a bake, in which its own slot is at the floor.
                place = Slot.STABLE.value if mirror is Slot.STABLE else "shadow"
                tallies[place] = _Tally(clusters=copies, judged=self.mirrored_errors, bounds=bounds)
            return tallies

        return Question(
            counts=Selector(names=names, label=_CLUSTER, values=frozenset(every)),
            latency=Selector(names=(_BUCKETS,), label=_CLUSTER, values=frozenset(every)),
            stable=frozenset(clusters[Slot.STABLE]),
            arms=arms,
            absent=f"Prometheus knows none of the gateway's clusters {', '.join(every)}: let it scrape the Envoy "
            "pods (port 19001, /stats/prometheus), and look whether the gateway has taken the route",
            saturated=full,
        )


_SLOTS = (Slot.STABLE, Slot.CANDIDATE)


@dataclass(frozen=True, kw_only=True)
class _Tally:
    """An arm: the sum over some clusters and over the gateway's pods. Of protocols not `judged`, latency alone."""

    clusters: Mapping[str, Protocol]
    judged: frozenset[Protocol]
    bounds: tuple[float, ...]

    def __call__(self, counts: Iterable[Count]) -> Arm:
        requests, failures = 0.0, 0.0
        by_process: dict[tuple[str, Target], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        buckets = []
        for one in counts:
            name, cluster = one.labels["__name__"], one.labels[_CLUSTER]
            protocol = self.clusters.get(cluster)
            if protocol is None:
                continue
            if name == _BUCKETS:
                buckets.append(one)
                continue
            if protocol not in self.judged:
                continue
            grpc = protocol is Protocol.GRPC
            if name == _CLASSES and not grpc:
                requests += one.increase
                failures += 0.0 if one.labels.get("envoy_response_code_class") in _GOOD_CLASSES else one.increase
            elif name in _CALLS and grpc:
                requests += one.increase
            elif name in _FAILED_CALLS and grpc:
                failures += one.increase
            else:
                by_process[cluster, one.target][name] += one.increase
        lost = sum(_unanswered(process) for process in by_process.values())
        latency = histogram(buckets, bounds=self.bounds)
        return Arm(requests=requests + lost, failures=failures + lost, latency=latency)


def _unanswered(process: Mapping[str, float]) -> float:
    """Return how many requests of one process ended without an answer.

    Answers that Envoy gives itself are completed without having been sent: never below zero.
    """
    gone = process.get(_SENT, 0.0) - process.get(_COMPLETED, 0.0) - process.get(_RETRIED, 0.0)
    return max(0.0, gone - process.get(ACTIVE, 0.0))
