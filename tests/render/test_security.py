"""What holds for every child: restricted Pod Security, no API token, owned by the release."""

from typing import Any

import pytest

from tests.render import samples
from tests.render.test_trust import trusted

VOLUMES = {"emptyDir", "persistentVolumeClaim", "secret", "configMap"}
PODS = {
    "build": samples.job()["spec"]["template"]["spec"],
    "build from s3": samples.job(samples.on_s3())["spec"]["template"]["spec"],
    "serving": samples.template()["spec"],
    "serving from s3": samples.template(samples.on_s3())["spec"],
    "build with a key": samples.job(trusted())["spec"]["template"]["spec"],
    "serving with a key": samples.template(trusted())["spec"],
}
pods = pytest.mark.parametrize("pod", PODS.values(), ids=PODS)


@pods
def test_pods_are_restricted(pod: dict[str, Any]) -> None:
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 65532
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all(volume.keys() & VOLUMES for volume in pod["volumes"])
    for container in pod.get("initContainers", []) + pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pods
def test_pods_get_no_api_token(pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


@pods
def test_what_is_mounted_exists_and_tmp_can_be_written(pod: dict[str, Any]) -> None:
    volumes = [volume["name"] for volume in pod["volumes"]]
    assert len(volumes) == len(set(volumes))
    for container in pod.get("initContainers", []) + pod["containers"]:
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert {mount["name"] for mount in mounts.values()} <= set(volumes)
        assert "readOnly" not in mounts["/tmp"]
        assert {"name": "HOME", "value": "/tmp"} in container["env"]


@pytest.mark.parametrize("manifest", samples.everything(), ids=lambda m: f"{m['kind']} {m['metadata']['name']}")
def test_every_child_is_owned_by_the_release_and_the_budget_by_its_deployment(manifest: dict[str, Any]) -> None:
    (owner,) = manifest["metadata"]["ownerReferences"]
    expected = ("ModelRelease", "digits", samples.META.uid)
    if manifest["kind"] == "PodDisruptionBudget":
        expected = ("Deployment", manifest["metadata"]["name"], "d-1")
    assert (owner["kind"], owner["name"], owner["uid"]) == expected
    assert owner["controller"] is True
    assert owner["blockOwnerDeletion"] is False
    assert manifest["metadata"]["namespace"] == "vision"
