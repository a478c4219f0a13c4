"""Istio's standard metrics, as the proxies before the model count them (`reporter="source"`).

Slots are Services, and Istio counts by the Service that a request was sent to: the route needs
no filters to tell them apart. Every request is counted when it ends, also one that got no answer
(`response_code="0"`: the client gave up). A gRPC call has its own status; one without any failed.

Copies are not counted: the proxy that makes them counts requests, and what the model's own
sidecar counts of them it can't tell from the requests of others.

Names and labels: https://istio.io/latest/docs/reference/config/metrics
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelrelease.adapters.prometheus.blocks import Count, Tally
from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.increments import Layout
from modelrelease.adapters.prometheus.presets.base import Question, Selector, histogram, shared_bounds
from modelrelease.adapters.prometheus.sampled import Sampled
from modelrelease.domain import naming
from modelrelease.domain.counts import Arm
from modelrelease.domain.observed import Meta, Protocol, Slot

_SERVICE, _PROTOCOL = "destination_service_name", "request_protocol"
_REQUESTS = "istio_requests_total"
_BUCKETS = "istio_request_duration_milliseconds_bucket"

_GOOD_CLASSES = frozenset("123")
_GOOD_STATUS = "0"

# People add dimensions to these metrics, so that only a target's own labels are known.
LAYOUT = Layout()


@dataclass(frozen=True, kw_only=True)
class Istio:
    """Proxies of Istio, at a gateway or in the mesh."""

    layout = LAYOUT

    def question(self, *, meta: Meta, protocols: Sequence[Protocol], mirror: Slot | None) -> Question:  # noqa: ARG002 - not counted
        """Return what to read for a release."""
        services = {slot: naming.service(meta.name, slot) for slot in (Slot.STABLE, Slot.CANDIDATE)}
        known = frozenset(protocols)

        def selector(name: str) -> Selector:
            return Selector(
                names=(name,),
                label=_SERVICE,
                values=frozenset(services.values()),
                matchers=(("reporter", "source"), ("destination_service_namespace", meta.namespace)),
            )

        def arms(found: Sequence[Series]) -> Mapping[str, Tally]:
            bounds = shared_bounds(found, of=lambda series: LAYOUT.own(series) - {("le", series.labels.get("le", ""))})
            return {
                slot.value: _Tally(service=service, protocols=known, bounds=bounds)
                for slot, service in services.items()
            }

        return Question(
            counts=selector(_REQUESTS),
            latency=selector(_BUCKETS),
            stable=frozenset({services[Slot.STABLE]}),
            arms=arms,
            absent=f"Prometheus knows no request of Istio's proxies to {' or '.join(services.values())} in namespace "
            f"{meta.namespace}: let it scrape the gateway's pods (port 15020, /stats/prometheus), and send a request",
            saturated=_unknown,
        )


def _unknown(found: Sampled) -> str:  # noqa: ARG001 - no copy is counted
    return ""


@dataclass(frozen=True, kw_only=True)
class _Tally:
    """An arm: the sum over a Service's series and over all proxies."""

    service: str
    protocols: frozenset[Protocol]
    bounds: tuple[float, ...]

    def __call__(self, counts: Iterable[Count]) -> Arm:
        requests, failures = 0.0, 0.0
        buckets = []
        for one in counts:
            labels = one.labels
            if labels.get(_SERVICE) != self.service or labels.get(_PROTOCOL) not in self.protocols:
                continue
            if labels["__name__"] == _BUCKETS:
                buckets.append(one)
                continue
            requests += one.increase
            failures += one.increase if _failed(labels) else 0.0
        return Arm(requests=requests, failures=failures, latency=histogram(buckets, bounds=self.bounds))


def _failed(labels: Mapping[str, str]) -> bool:
    if labels.get("response_code", "0")[:1] not in _GOOD_CLASSES:
        return True
    return labels[_PROTOCOL] == Protocol.GRPC and labels.get("grpc_response_status") != _GOOD_STATUS


PRESET = Istio()
