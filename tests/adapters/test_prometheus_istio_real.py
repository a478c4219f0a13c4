"""The preset for Istio on a real Prometheus: its standard metrics, as its proxies expose them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.adapters.prometheus.client import PrometheusClient
from modelrelease.adapters.prometheus.presets.istio import PRESET
from modelrelease.domain.observed import Meta, Protocol, Slot

from tests.adapters.prometheus_looks import failures, read, requests, scraped, within
from tests.adapters.prometheus_server import Process, Prometheus

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

BOUNDS = ("0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "+Inf")


class Proxy(Process):
    """A gateway's proxy; `meta` is the release behind it."""

    def __init__(self, meta: Meta) -> None:
        super().__init__()
        self.meta = meta

    def serve(
        self,
        slot: Slot,
        number: int,
        *,
        code: str = "200",
        flags: str = "-",
        grpc: str | None = None,
        took_ms: float = 3,
        reporter: str = "source",
        namespace: str | None = None,
    ) -> None:
        service, place = f"{self.meta.name}-{slot}", namespace or self.meta.namespace
        labels = (
            f'reporter="{reporter}",source_workload="public-istio",source_canonical_service="public-istio",'
            f'source_canonical_revision="latest",source_workload_namespace="gateways",source_principal="unknown",'
            f'source_app="unknown",source_version="unknown",source_cluster="Kubernetes",'
            f'destination_workload="{self.meta.name}-ab12",destination_workload_namespace="{place}",'
            f'destination_principal="unknown",destination_app="{self.meta.name}",destination_version="unknown",'
            f'destination_service="{service}.{place}.svc.cluster.local",'
            f'destination_canonical_service="{self.meta.name}",destination_canonical_revision="latest",'
            f'destination_service_name="{service}",destination_service_namespace="{place}",'
            f'destination_cluster="Kubernetes",request_protocol="{"http" if grpc is None else "grpc"}",'
            f'response_code="{code}",grpc_response_status="{grpc or ""}",response_flags="{flags}",'
            'connection_security_policy="unknown"'
        )
        self.add(f"istio_requests_total{{{labels}}}", number)
        self.add(f"istio_request_duration_milliseconds_count{{{labels}}}", number)
        self.add(f"istio_request_duration_milliseconds_sum{{{labels}}}", number * took_ms)
        for bound in BOUNDS:
            series = f'istio_request_duration_milliseconds_bucket{{{labels},le="{bound}"}}'
            self.add(series, number * (took_ms <= float(bound)))


@pytest_asyncio.fixture(loop_scope="module")
async def istio(server: Prometheus) -> AsyncIterator[PrometheusEvidence]:
    evidence = PrometheusEvidence(PrometheusClient(server.url), preset=PRESET)
    yield evidence
    await evidence.close()


async def test_http_requests_by_service(server: Prometheus, istio: PrometheusEvidence, release: Meta) -> None:
    proxy = Proxy(release)
    proxy.serve(Slot.STABLE, 1000)

    def traffic() -> None:
        proxy.serve(Slot.STABLE, 90)
        proxy.serve(Slot.STABLE, 10, code="503", flags="UH")
        proxy.serve(Slot.CANDIDATE, 20, took_ms=20)
        proxy.serve(Slot.CANDIDATE, 3, code="400")
        proxy.serve(Slot.CANDIDATE, 2, code="0", flags="DC")  # the client gave up
        proxy.serve(Slot.PREVIEW, 50, code="500")  # the prober
        proxy.serve(Slot.CANDIDATE, 70, reporter="destination")  # the same requests once more
        proxy.serve(Slot.CANDIDATE, 80, namespace="another")  # another release of that name
        proxy.serve(Slot.CANDIDATE, 5, grpc="0")  # a protocol that is not asked for

    await server.play({"envoy-a": scraped(proxy, events={70: traffic})})
    evidence = await read(istio, release)
    assert requests(evidence, "stable") == [0, 100, 0, 0, 0]
    assert failures(evidence, "stable") == [0, 10, 0, 0, 0]
    assert requests(evidence) == [0, 25, 0, 0, 0]
    assert failures(evidence) == [0, 5, 0, 0, 0]
    assert within(evidence, 10.0) == [0, 5, 0, 0, 0]
    assert within(evidence, 25.0) == within(evidence, math.inf) == [0, 25, 0, 0, 0]


async def test_grpc_calls_by_their_own_status(server: Prometheus, istio: PrometheusEvidence, release: Meta) -> None:
    proxy = Proxy(release)
    proxy.serve(Slot.STABLE, 1)

    def calls() -> None:
        proxy.serve(Slot.CANDIDATE, 40, grpc="0")
        proxy.serve(Slot.CANDIDATE, 6, grpc="3")
        proxy.serve(Slot.CANDIDATE, 2, grpc="")  # ended without a status
        proxy.serve(Slot.CANDIDATE, 1, grpc="14", code="503", flags="UF")

    await server.play({"envoy-a": scraped(proxy, events={70: calls})})
    evidence = await read(istio, release, Protocol.HTTP, Protocol.GRPC, mirror=Slot.PREVIEW)
    assert (requests(evidence)[1], failures(evidence)[1]) == (49, 9)
    assert requests(evidence, "shadow") == [0] * 5


async def test_a_release_that_no_proxy_has_served_is_told(istio: PrometheusEvidence, release: Meta) -> None:
    evidence = await read(istio, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsEmpty"
    assert f"no request of Istio's proxies to {release.name}-stable or" in evidence.error.message
