"""What of the counters of a gateway is a request, a failure and a latency."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from modelrelease.adapters.prometheus.blocks import Count
from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.increments import increments
from modelrelease.adapters.prometheus.presets import base
from modelrelease.adapters.prometheus.presets.envoy import Envoy
from modelrelease.adapters.prometheus.presets.envoy_gateway import PRESET as ENVOY_GATEWAY
from modelrelease.adapters.prometheus.presets.istio import PRESET as ISTIO
from modelrelease.domain.counts import Arm
from modelrelease.domain.observed import Meta, Protocol, Slot

META = Meta(name="digits", namespace="vision", uid="u", generation=1, resource_version="1")
POD = frozenset({("pod", "a")})
HTTP, GRPC = "httproute/vision/digits/rule/0", "grpcroute/vision/digits/rule/0"
BOTH = (Protocol.HTTP, Protocol.GRPC)


def count(name: str, increase: float, cluster: str, *, pod: str = "a", **labels: str) -> Count:
    known = {"__name__": f"envoy_cluster_{name}", "envoy_cluster_name": cluster, "pod": pod, **labels}
    return Count(labels=known, target=frozenset({("pod", pod)}), increase=increase)


def classes(cluster: str, **counts: float) -> list[Count]:
    return [
        count("upstream_rq_xx", number, cluster, envoy_response_code_class=name[1:]) for name, number in counts.items()
    ]


def arms(
    *counts: Count,
    protocols: tuple[Protocol, ...] = BOTH,
    mirror: Slot | None = None,
    preset: Envoy = ENVOY_GATEWAY,
    found: tuple[Series, ...] = (),
) -> Mapping[str, Arm]:
    question = preset.question(meta=META, protocols=protocols, mirror=mirror)
    return {name: tally(counts) for name, tally in question.arms(found).items()}


@pytest.mark.parametrize("code_class", ["1", "2", "3"])
def test_answers_that_are_no_failures(code_class: str) -> None:
    assert arms(*classes(f"{HTTP}/backend/1", **{f"c{code_class}": 7}))["candidate"] == Arm(requests=7)


@pytest.mark.parametrize("code_class", ["4", "5"])
def test_answers_that_are_failures(code_class: str) -> None:
    assert arms(*classes(f"{HTTP}/backend/0", **{f"c{code_class}": 7}))["stable"] == Arm(requests=7, failures=7)


def test_grpc_calls_are_counted_by_method_and_never_by_status_class() -> None:
    cluster = f"{GRPC}/backend/1"
    found = arms(
        *classes(cluster, c2=50),
        count("grpc_ModelInfer_total", 40, cluster),
        count("grpc_ModelInfer_failure", 9, cluster),
        count("grpc_ModelStreamInfer_total", 2, cluster),
        count("grpc_ModelStreamInfer_failure", 1, cluster),
    )
    assert found["candidate"] == Arm(requests=42, failures=10)
    through_http = arms(*classes(f"{HTTP}/backend/1", c2=9), count("grpc_ModelInfer_total", 9, f"{HTTP}/backend/1"))
    assert through_http["candidate"] == Arm(requests=9)


def test_what_was_sent_and_neither_answered_nor_is_under_way_failed() -> None:
    cluster = f"{HTTP}/backend/1"

    def pod(name: str, **counts: float) -> list[Count]:
        return [count(f"upstream_rq_{what}", number, cluster, pod=name) for what, number in counts.items()]

    lost = pod("a", total=20, completed=12, retry=2, active=1)
    own_answers = pod("b", total=3, completed=9, active=0)  # answered by the gateway itself: hides no loss elsewhere
    fewer_active = pod("c", total=0, completed=4, active=-4)
    found = arms(*classes(cluster, c2=30), *lost, *own_answers, *fewer_active)
    assert found["candidate"] == Arm(requests=35, failures=5)


def test_copies_are_shadow_or_the_control_of_a_bake() -> None:
    counts = [
        *classes(f"{HTTP}-mirror-0", c2=8, c5=2),
        *classes(f"{HTTP}/backend/0", c2=5),
        *classes(f"{HTTP}/backend/1", c2=3),
    ]
    assert "shadow" not in arms(*counts)
    shadow = arms(*counts, mirror=Slot.PREVIEW)
    assert (shadow["shadow"], shadow["stable"]) == (Arm(requests=10, failures=2), Arm(requests=5))
    control = arms(*counts, mirror=Slot.STABLE)
    assert (control["stable"], control["candidate"]) == (Arm(requests=10, failures=2), Arm(requests=3))
    assert "shadow" not in control


def test_copies_of_grpc_calls_can_not_prove_the_candidate_good() -> None:
    counts = [*classes(f"{GRPC}-mirror-0", c2=8), *classes(f"{HTTP}-mirror-0", c2=3)]
    assert arms(*counts, mirror=Slot.PREVIEW)["shadow"] == Arm(requests=3)
    counts.append(count("upstream_rq_total", 5, f"{GRPC}-mirror-0"))
    assert arms(*counts, mirror=Slot.PREVIEW, protocols=(Protocol.GRPC,))["shadow"] == Arm()


def test_latency_has_the_bounds_that_all_histograms_have_also_where_nothing_was_counted() -> None:
    def bucket(le: str, pod: str) -> Series:
        cluster = f"{HTTP}/backend/0"
        labels = {"__name__": "envoy_cluster_upstream_rq_time_bucket", "envoy_cluster_name": cluster, "pod": pod}
        return Series(labels={**labels, "le": le}, samples=((0.0, 1.0),))

    found = tuple(bucket(le, pod) for pod, bounds in (("a", "1 5 +Inf"), ("b", "5 10 +Inf")) for le in bounds.split())
    cluster = f"{HTTP}/backend/1"
    counted = [
        count("upstream_rq_time_bucket", number, cluster, le=le)
        for le, number in (("1", 1), ("5", 2), ("+Inf", 4), ("x", 9), ("NaN", 9))
    ]
    made = arms(*counted, found=found)
    assert made["candidate"].latency == ((5.0, 2.0), (math.inf, 4.0))
    assert made["stable"].latency == ((5.0, 0.0), (math.inf, 0.0))


def test_an_envoy_with_clusters_of_other_names() -> None:
    preset = Envoy(cluster=lambda namespace, name, protocol, slot: f"{name}_{slot}_{protocol}")
    counts = classes("digits_candidate_http", c2=3, c5=1)
    assert arms(*counts, preset=preset, protocols=(Protocol.HTTP,))["candidate"] == Arm(requests=4, failures=1)
    question = preset.question(meta=META, protocols=(Protocol.HTTP,), mirror=Slot.PREVIEW)
    assert question.counts.values == {"digits_stable_http", "digits_candidate_http"}


def test_what_is_asked_of_envoy_gateway() -> None:
    question = ENVOY_GATEWAY.question(meta=META, protocols=BOTH, mirror=Slot.PREVIEW)
    clusters = {f"{route}{place}" for route in (HTTP, GRPC) for place in ("/backend/0", "/backend/1", "-mirror-0")}
    assert question.counts.values == question.latency.values == clusters
    assert question.latency.names == ("envoy_cluster_upstream_rq_time_bucket",)
    assert all(cluster in question.absent for cluster in clusters)


@pytest.mark.parametrize(
    ("labels", "failed"),
    [
        ({"request_protocol": "http", "response_code": "204"}, False),
        ({"request_protocol": "http", "response_code": "404"}, True),
        ({"request_protocol": "http", "response_code": "0"}, True),
        ({"request_protocol": "http"}, True),
        ({"request_protocol": "grpc", "response_code": "200", "grpc_response_status": "0"}, False),
        ({"request_protocol": "grpc", "response_code": "200", "grpc_response_status": "3"}, True),
        ({"request_protocol": "grpc", "response_code": "200", "grpc_response_status": ""}, True),
        ({"request_protocol": "grpc", "response_code": "200"}, True),
        ({"request_protocol": "grpc", "response_code": "503", "grpc_response_status": "0"}, True),
    ],
)
def test_requests_of_istio(labels: dict[str, str], failed: bool) -> None:
    named = {"__name__": "istio_requests_total", "destination_service_name": "digits-candidate", **labels}
    question = ISTIO.question(meta=META, protocols=BOTH, mirror=None)
    found = question.arms(())["candidate"]([Count(labels=named, target=POD, increase=2)])
    assert found == Arm(requests=2, failures=2 if failed else 0)


def test_no_histogram_has_no_bounds() -> None:
    assert base.shared_bounds([], of=str) == ()
    assert base.histogram([], bounds=()) == ()


def test_a_cluster_that_is_made_anew_says_nothing_of_the_others_of_its_pod() -> None:
    def requests(cluster: str, *values: float) -> Series:
        labels = count("upstream_rq_xx", 0, cluster, envoy_response_code_class="2").labels
        return Series(labels=labels, samples=tuple((15.0 * i, value) for i, value in enumerate(values)))

    one, other = increments((requests("a", 9, 4), requests("b", 9, 12)), layout=ENVOY_GATEWAY.layout)
    assert (one.steps, other.steps) == (((15.0, 4.0),), ((15.0, 3.0),))


def test_istio_is_asked_for_what_the_proxies_before_the_model_count() -> None:
    question = ISTIO.question(meta=META, protocols=BOTH, mirror=None)
    assert str(question.counts) == (
        'istio_requests_total{reporter="source",destination_service_namespace="vision",'
        'destination_service_name=~"digits-candidate|digits-stable"}'
    )
