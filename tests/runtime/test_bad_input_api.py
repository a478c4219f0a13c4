"""Bad surroundings that need no node: the operator's process says what is missing, and goes on once it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from modelrelease import render
from modelrelease.cli.release import Release, parse
from modelrelease.domain import naming
from modelrelease.domain.observed import BuildResult, Contract, Slot, Tensor
from modelrelease.domain.plan import WantRecord
from modelrelease.domain.status import Artifact, Condition, Status
from modelrelease.render import RenderConfig
from modelrelease.runtime.observe import meta_of

from localcluster.api import Cluster
from tests.fakes.samples import NAME, release
from tests.runtime.conftest import StartOperator
from tests.runtime.operators import eventually

pytestmark = pytest.mark.api

_GROUP = "gateway.networking.k8s.io"
_CLASS = {
    "apiVersion": f"{_GROUP}/v1",
    "kind": "GatewayClass",
    "metadata": {"name": "late"},
    "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
}
_LISTENER = {"name": "web", "protocol": "HTTP", "port": 80, "allowedRoutes": {"namespaces": {"from": "All"}}}


def status_of(cluster: Cluster, namespace: str) -> Status:
    return live(cluster, namespace).status


def live(cluster: Cluster, namespace: str) -> Release:
    return parse(json.loads(cluster.kubectl("-n", namespace, "get", "modelrelease", NAME, "-o", "json")))


def await_condition(cluster: Cluster, namespace: str, kind: str, reason: str, *, within: float = 30.0) -> Condition:
    """Wait until a condition has this reason."""

    def found() -> Condition | None:
        conditions = status_of(cluster, namespace).conditions
        return next((one for one in conditions if one.type == kind and one.reason == reason), None)

    eventually(found, what=f"{kind} with reason {reason}", within=within)
    said = found()
    assert said is not None
    return said


def await_wait(cluster: Cluster, namespace: str, reason: str) -> Status:
    """Wait until the release waits for this."""

    def waits() -> bool:
        awaited = status_of(cluster, namespace).waiting_for
        return awaited is not None and awaited.reason == reason

    eventually(waits, what=f"a wait for {reason}")
    return status_of(cluster, namespace)


def apply(cluster: Cluster, *objects: Any) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def serving(cluster: Cluster, namespace: str) -> None:
    """Make a release that was promoted, as a restore of everything but status and routes leaves it."""
    apply(cluster, release(namespace=namespace))
    body = json.loads(cluster.kubectl("-n", namespace, "get", "modelrelease", NAME, "-o", "json"))
    meta, spec = meta_of(body), parse(body).spec
    revision = naming.revision(spec)
    tensor = Tensor(name="x", datatype="FP32", shape=(1,))
    result = BuildResult(
        artifact=Artifact(uri="pvc://artifacts/releases/sha256-0", digest=f"sha256:{'0' * 64}"),
        contract=Contract(inputs=(tensor,), outputs=(tensor,)),
        metrics={},
    )
    template = render.pod_template(
        meta=meta, spec=spec, revision=revision, result=result, config=RenderConfig(puller_image="p:1")
    )
    want = WantRecord(revision=revision, artifact_key=naming.artifact_key(spec), version="1", result=result, number=1)
    record = render.record(meta=meta, want=want, template=template)
    apply(cluster, record, render.service(meta=meta, slot=Slot.STABLE, revision=revision))


def test_a_gateway_that_is_absent_is_named_and_found_when_it_comes(
    own_cluster: Cluster, namespace: str, start_operator: StartOperator
) -> None:
    serving(own_cluster, namespace)
    start_operator()
    said = await_condition(own_cluster, namespace, "RouteReady", "GatewayNotFound")
    assert said.status == "False"
    assert said.message == (
        "there is no Gateway public in namespace gateways: create it, or name another one in traffic.gateway.parentRefs"
    )
    assert status_of(own_cluster, namespace).stable is not None, "what serves goes on serving"
    gateway = {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "Gateway",
        "metadata": {"name": "public", "namespace": "gateways"},
        "spec": {"gatewayClassName": "late", "listeners": [_LISTENER]},
    }
    apply(own_cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gateways"}}, _CLASS, gateway)
    try:
        said = await_condition(own_cluster, namespace, "RouteReady", "GatewayNotProgrammed")
        assert "whether its controller runs" in said.message
    finally:
        own_cluster.kubectl("delete", "gatewayclass", "late")
        own_cluster.kubectl("delete", "namespace", "gateways", "--wait=false")


def test_without_the_gateway_api_it_says_so_and_takes_it_up_when_it_is_installed(
    own_cluster: Cluster, namespace: str, start_operator: StartOperator, tmp_path: Path
) -> None:
    kinds = [f"{plural}.{_GROUP}" for plural in ("gatewayclasses", "gateways", "grpcroutes", "httproutes")]
    saved = tmp_path / "crds.json"
    saved.write_text(_as_new(own_cluster.kubectl("get", "crd", *kinds, "-o", "json")))
    own_cluster.kubectl("delete", "crd", *kinds)
    try:
        serving(own_cluster, namespace)
        operator = start_operator()
        said = await_condition(own_cluster, namespace, "RouteReady", "GatewayAPINotInstalled")
        assert said.status == "False"
        assert "install the Gateway API" in said.message
    finally:
        own_cluster.kubectl("create", "-f", str(saved))
    assert operator.end(within=20) == 0, "it starts anew to watch the new kinds; a Deployment starts it again"
    start_operator()
    await_condition(own_cluster, namespace, "RouteReady", "GatewayNotFound")


@pytest.mark.parametrize("quota", ["count/jobs.batch=0", "pods=0"])
def test_a_build_waits_for_quota_and_starts_when_there_is_room(
    own_cluster: Cluster, namespace: str, start_operator: StartOperator, quota: str
) -> None:
    own_cluster.kubectl("-n", namespace, "create", "quota", "tight", f"--hard={quota}")
    eventually(
        lambda: own_cluster.kubectl("-n", namespace, "get", "quota", "tight", "-o", "jsonpath={.status.hard}"),
        what="the quota in force",
    )
    start_operator()
    apply(own_cluster, release(namespace=namespace))
    held = await_wait(own_cluster, namespace, "QuotaExceeded")
    assert held.waiting_for is not None
    assert (held.waiting_for.what, held.waiting_for.counts) == ("room in the ResourceQuota", False)
    own_cluster.kubectl("-n", namespace, "delete", "quota", "tight")
    await_wait(own_cluster, namespace, "Building")
    eventually(lambda: own_cluster.kubectl("-n", namespace, "get", "pods", "-o", "name"), what="the build's pod")


def _as_new(listed: str) -> str:
    """Return objects as they can be created anew."""
    found = json.loads(listed)
    for item in found["items"]:
        meta = item["metadata"]
        item["metadata"] = {key: meta[key] for key in ("name", "annotations", "labels") if key in meta}
        item.pop("status", None)
    return json.dumps(found)
