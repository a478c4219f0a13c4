"""What Envoy counts for each of its clusters, and what of it is a request, a failure, a latency.

- HTTP: status classes. 4xx is a failure too: a release that breaks its schema answers 400.
- gRPC: a failed call is HTTP 200, so that calls and failures are counted by method.
- Requests without any answer are in neither: a client that gives up on a model that hangs
  leaves only a request that was sent upstream, never completed, and is no longer active.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from modelrelease.adapters.prometheus.counters import Count, Target
from modelrelease.domain.observed import Arm, Protocol

# Always there for a cluster, used or not: tells that the gateway knows the slots, and when it was scraped.
_PRESENCE = "envoy_cluster_membership_total"
_CLASSES = "envoy_cluster_upstream_rq_xx"
_SENT, _COMPLETED, _RETRIED, _ACTIVE = (
    f"envoy_cluster_upstream_rq_{what}" for what in ("total", "completed", "retry", "active")
)
_CALLS = tuple(f"envoy_cluster_grpc_{method}_total" for method in ("ModelInfer", "ModelStreamInfer"))
_FAILED_CALLS = tuple(f"envoy_cluster_grpc_{method}_failure" for method in ("ModelInfer", "ModelStreamInfer"))
_BUCKETS = "envoy_cluster_upstream_rq_time_bucket"

_GOOD_CLASSES = frozenset("123")

# Envoy merges the histograms of its threads every 5 s: what they gain in a window's first seconds was before it.
HISTOGRAM_LAG_SECONDS = 5.0


def counts_selector(clusters: Iterable[str]) -> str:
    """Return the selector of everything that tells requests and failures of some clusters."""
    names = (_PRESENCE, _CLASSES, _SENT, _COMPLETED, _RETRIED, _ACTIVE, *_CALLS, *_FAILED_CALLS)
    return f'{{__name__=~"{"|".join(names)}",{_cluster_matcher(clusters)}}}'


def latency_selector(clusters: Iterable[str]) -> str:
    """Return the selector of the latency histograms of some clusters."""
    return f"{_BUCKETS}{{{_cluster_matcher(clusters)}}}"


def arm(counts: Iterable[Count], latencies: Iterable[Count], *, clusters: Mapping[str, Protocol]) -> Arm:
    """Return a slot's counts, summed over its clusters and over the gateway's pods."""
    requests, failures = 0.0, 0.0
    by_process: dict[tuple[str, Target], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for one in counts:
        name, cluster = one.labels["__name__"], one.labels["envoy_cluster_name"]
        if cluster not in clusters:
            continue
        grpc = clusters[cluster] is Protocol.GRPC
        failed_class = one.labels.get("envoy_response_code_class") not in _GOOD_CLASSES
        requests += one.increase if name in _CALLS or (name == _CLASSES and not grpc) else 0.0
        failures += one.increase if name in _FAILED_CALLS or (name == _CLASSES and not grpc and failed_class) else 0.0
        by_process[cluster, one.target][name] += one.change if name == _ACTIVE else one.increase
    lost = sum(_unanswered(process) for process in by_process.values())
    mine = [one for one in latencies if one.labels["envoy_cluster_name"] in clusters]
    return Arm(requests=requests + lost, failures=failures + lost, latency=_histogram(mine))


def _unanswered(process: Mapping[str, float]) -> float:
    """Return how many requests of one process ended without an answer.

    Answers that Envoy gives itself are completed without having been sent: never below zero.
    """
    gone = process.get(_SENT, 0.0) - process.get(_COMPLETED, 0.0) - process.get(_RETRIED, 0.0)
    return max(0.0, gone - process.get(_ACTIVE, 0.0))


def _histogram(buckets: Iterable[Count]) -> tuple[tuple[float, float], ...]:
    """Return the sum of all histograms at the bounds that all of them have."""
    found: dict[tuple[str, Target], dict[float, float]] = defaultdict(dict)
    for one in buckets:
        bound = _bound(one.labels.get("le", ""))
        if bound is not None:
            found[one.labels["envoy_cluster_name"], one.target][bound] = one.increase
    used = [histogram for histogram in found.values() if any(histogram.values())]
    shared = set.intersection(*(set(histogram) for histogram in used)) if used else set()
    return tuple((bound, sum(histogram[bound] for histogram in used)) for bound in sorted(shared))


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


def _cluster_matcher(clusters: Iterable[str]) -> str:
    # Names are of Kubernetes objects: a dot is the only character in them that a pattern would take for its own.
    pattern = "|".join(re.escape(name).replace("\\-", "-").replace("\\", "\\\\") for name in clusters)
    return f'envoy_cluster_name=~"{pattern}"'
