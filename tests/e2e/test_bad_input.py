"""Bad input on a real node: each says what is wrong in a sentence, stable serves, and it recovers without help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from modelrelease.domain.commands import Verb
from modelrelease.domain.status import Outcome, Status

from localcluster.api import Cluster
from tests.e2e.conftest import NextDelay, serves
from tests.e2e.releases import CLAIM, release
from tests.e2e.stand import Stand, awaits, condition, failures, told

pytestmark = pytest.mark.e2e


def builds(status: Status) -> bool:
    """Tell whether nothing keeps the build from working."""
    return awaits(status, "Building") or (status.candidate is not None and status.candidate.artifact is not None)


def test_an_unknown_builder_image_is_named_and_can_be_corrected(digits: Stand, scratch: str) -> None:
    image = "localhost/modelrelease/nothing:dev"
    made = release(namespace=digits.namespace, name=scratch, build__image=image)
    digits.apply(made)
    held = digits.until(lambda s: awaits(s, "ImagePull"), what="a wait for the image", name=scratch)
    assert held.waiting_for is not None and held.waiting_for.what == f"image {image}"
    digits.apply(release(namespace=digits.namespace, name=scratch))
    digits.until(builds, what="the build with the right image", name=scratch)


def test_a_claim_that_is_missing_is_named_and_may_come_later(digits: Stand, scratch: str) -> None:
    store = {"uri": "pvc://nowhere/releases"}
    digits.apply(release(namespace=digits.namespace, name=scratch, build__artifactStore=store))
    held = digits.until(lambda s: awaits(s, "VolumeClaimMissing"), what="a wait for the claim", name=scratch)
    assert "nowhere" in held.message or "PersistentVolumeClaim" in held.message, told(held)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "nowhere", "namespace": digits.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    digits.apply(claim)
    digits.until(builds, what="the build on the new claim", name=scratch)


def test_missing_credentials_are_named_and_may_come_later(digits: Stand, scratch: str) -> None:
    store = {"uri": "s3://artifacts/releases", "secretRef": {"name": "s3-credentials"}}
    digits.apply(release(namespace=digits.namespace, name=scratch, build__artifactStore=store))
    held = digits.until(lambda s: awaits(s, "ContainerConfig"), what="a wait for the Secret", name=scratch)
    assert "s3-credentials" in held.message, told(held)
    # An address where nobody listens: what is told next is that the store can't be reached.
    address = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    literals = [f"--from-literal={key}={value}" for key, value in address.items()]
    digits.kubectl("create", "secret", "generic", "s3-credentials", *literals)
    said = digits.until(
        lambda s: awaits(s, "StoreUnreachable") or (s.rejected and s.rejected.reason == "StoreUnreachable"),
        what="a store that can't be reached",
        name=scratch,
        within=110,
    )
    assert "127.0.0.1:9" in said.message, told(said)


def test_a_release_waits_for_a_gpu_and_goes_on_when_one_is_free(digits: Stand, delays: NextDelay) -> None:
    before, delay = digits.status(), delays()
    digits.apply(_hog(digits))
    digits.kubectl("wait", "--for=condition=PodScheduled", "--timeout=30s", "pod/hog")
    try:
        digits.apply(release(namespace=digits.namespace, delay=delay))
        held = digits.until(lambda s: awaits(s, "Unschedulable"), what="a wait for a GPU")
        assert held.waiting_for is not None
        assert (held.waiting_for.what, held.waiting_for.counts) == ("1 nvidia.com/gpu", False)
        serves(digits, before)
    finally:
        digits.kubectl("delete", "pod", "hog", "--grace-period=0", "--force")
    _promoted(digits, delay)


def test_a_release_waits_for_quota_and_goes_on_when_there_is_room(digits: Stand, delays: NextDelay) -> None:
    before, delay = digits.status(), delays()
    _only_stable_runs(digits)
    digits.kubectl("create", "quota", "tight", "--hard=pods=1")
    try:
        digits.apply(release(namespace=digits.namespace, delay=delay))
        held = digits.until(lambda s: awaits(s, "QuotaExceeded"), what="a wait for quota")
        assert held.waiting_for is not None and not held.waiting_for.counts
        serves(digits, before)
    finally:
        digits.kubectl("delete", "quota", "tight")
    _promoted(digits, delay)


def test_a_hostname_that_another_route_holds_is_found_and_given_when_it_is_free(digits: Stand, scratch: str) -> None:
    gateway = {"name": "modelrelease-gateway", "namespace": "gateway-system"}
    other = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "holder", "namespace": digits.namespace},
        "spec": {"parentRefs": [gateway], "hostnames": ["scratch.e2e.example"], "rules": [{}]},
    }
    digits.apply(other)
    digits.apply(release(namespace=digits.namespace, name=scratch))
    held = digits.until(lambda s: awaits(s, "HostnameTaken"), what="a hostname that is held", name=scratch, within=110)
    said = condition(held, "RouteReady")
    assert (said.status, said.reason) == ("False", "HostnameTaken")
    assert f"HTTPRoute {digits.namespace}/holder holds the hostname scratch.e2e.example" in said.message
    assert not digits.route(name=scratch), "no route of ours competes for the hostname"
    digits.kubectl("delete", "httproute", "holder")
    digits.settled(name=scratch)
    digits.served(scratch)


def test_a_corrupt_artifact_gets_no_traffic_and_is_taken_once_it_is_whole(
    digits: Stand, delays: NextDelay, node: Cluster
) -> None:
    before, delay = digits.status(), delays()
    assert before.stable is not None
    model = _artifact(digits, before) / "repository" / "digits" / "1" / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:1000] + b"?" * 16 + whole[1016:])
    try:
        digits.apply(release(namespace=digits.namespace, delay=delay))
        end = digits.until(lambda s: s.rejected, what="the end of a corrupt artifact")
        assert end.rejected is not None
        assert end.rejected.reason == "ArtifactCorrupt", told(end)
        assert "model.onnx" in end.rejected.message
        assert end.history[0].outcome is Outcome.FAILED and end.history[0].peak_weight == 0
        serves(digits, before)
    finally:
        model.write_bytes(whole)
    digits.settled()
    digits.order(Verb.RETRY)
    digits.until(lambda s: s.candidate, what="another try")
    _promoted(digits, delay)


def test_a_model_that_never_loads_ends_at_the_deadline_without_traffic(digits: Stand, delays: NextDelay) -> None:
    before = digits.status()
    made = release(
        namespace=digits.namespace,
        delay=delays(),
        serving__triton__backend="onnxruntime",  # this Triton has no such backend
        rollout__progressDeadline="30s",
        rollout__onDeadline="Rollback",
    )
    digits.apply(made)
    end = digits.until(lambda s: s.rejected, what="the end of a model that does not load")
    assert end.rejected is not None
    assert end.rejected.reason == "ProgressDeadlineExceeded", told(end)
    assert "container triton" in end.rejected.message, "it says why"
    assert end.history[0].outcome is Outcome.FAILED and end.history[0].peak_weight == 0
    serves(digits, before)


def _promoted(digits: Stand, delay: int) -> None:
    """Check that the release goes its way to the end."""
    with digits.traffic() as recorder:
        end = digits.settled()
    assert end.stable is not None and end.stable.version == f"delay-{delay}", told(end)
    assert not failures(recorder)


def _hog(digits: Stand) -> dict[str, Any]:
    """Return a pod that takes every GPU that nobody has."""
    node = json.loads(digits.cluster.kubectl("get", "nodes", "-o", "json"))["items"][0]
    pods = json.loads(digits.cluster.kubectl("get", "pods", "-A", "-o", "json"))["items"]
    limits = [c.get("resources", {}).get("limits", {}) for p in pods if _lives(p) for c in p["spec"]["containers"]]
    used = sum(int(limit.get("nvidia.com/gpu", 0)) for limit in limits)
    free = int(node["status"]["allocatable"]["nvidia.com/gpu"]) - used
    container = {
        "name": "hog",
        "image": "localhost/modelrelease/puller:dev",
        "command": ["sleep", "600"],
        "resources": {"limits": {"nvidia.com/gpu": free}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "hog", "namespace": digits.namespace},
        "spec": {"containers": [container], "securityContext": security},
    }


def _lives(pod: dict[str, Any]) -> bool:
    return pod["status"].get("phase") not in ("Succeeded", "Failed")


def _only_stable_runs(digits: Stand) -> None:
    digits.kubectl("wait", "--for=delete", "pod", "-l", "modelrelease.dev/release=scratch", "--timeout=60s")
    digits.until(
        lambda _: (
            len(digits.kubectl("get", "pods", "--field-selector=status.phase=Running", "-o", "name").split()) == 1
        ),
        what="stable's pod alone",
    )


def _artifact(digits: Stand, status: Status) -> Path:
    assert status.stable is not None
    uri = status.stable.artifact.uri
    assert uri.startswith(f"pvc://{CLAIM}/"), uri
    return digits.volume() / uri.removeprefix(f"pvc://{CLAIM}/")
