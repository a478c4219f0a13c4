"""What the manifests grant and ask for, read from the files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from modelrelease.adapters.kinds import CACHED, CHILDREN, KINDS
from modelrelease.domain import naming
from modelrelease.runtime.config import PREFIX, parse
from modelrelease.runtime.leader import LEASE_NAME

Manifest = dict[str, Any]
MANIFESTS = Path(__file__).parents[2] / "manifests"
FILES = sorted(MANIFESTS.rglob("*.yaml"))
DOCUMENTS = [
    (path, document) for path in FILES for document in yaml.safe_load_all(path.read_text()) if document is not None
]
DELETED = "Deployment", "ControllerRevision", "Job", "HTTPRoute", "GRPCRoute"


def of(kind: str, name: str) -> Manifest:
    (found,) = (d for path, d in DOCUMENTS if path.parent.name == "base" and (d["kind"], _name(d)) == (kind, name))
    return found


def _name(document: Manifest) -> str:
    return str(document.get("metadata", {}).get("name", ""))


def verbs(role: str) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in of("ClusterRole", role)["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def deployment() -> Manifest:
    return of("Deployment", "modelrelease-operator")


def pod() -> Manifest:
    spec: Manifest = deployment()["spec"]["template"]["spec"]
    return spec


def test_every_file_is_found_and_has_objects() -> None:
    assert {path.name for path in FILES} >= {"deployment.yaml", "role-operator.yaml", "kustomization.yaml"}
    assert all(document.get("kind") and document.get("apiVersion") for _, document in DOCUMENTS)


def test_every_resource_of_a_kustomization_is_there_and_no_file_is_forgotten() -> None:
    listed = set()
    for path, document in DOCUMENTS:
        if document["kind"] in ("Kustomization", "Component"):
            for resource in document["resources"]:
                target = (path.parent / resource).resolve()
                assert target.exists(), f"{path}: {resource}"
                listed.add(target)
    forgotten = {path for path in FILES if path.name != "kustomization.yaml" and "samples" not in path.parts} - listed
    assert not forgotten


def test_no_role_reads_secrets_or_grants_everything() -> None:
    for path, document in DOCUMENTS:
        for rule in document.get("rules") or ():
            said = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "*" not in said, path
            assert not {"secrets", "configmaps", "serviceaccounts", "pods/exec"} & set(rule["resources"]), path
            assert not {"impersonate", "escalate", "bind"} & set(rule["verbs"]), path


@pytest.mark.parametrize("kind", CACHED)
def test_what_is_kept_in_memory_may_be_listed_watched_and_looked_up(kind: str) -> None:
    granted = verbs("modelrelease-operator")[KINDS[kind].group, KINDS[kind].plural]
    assert granted >= {"list", "watch"}
    assert "get" in granted


@pytest.mark.parametrize("kind", CHILDREN)
def test_children_are_written_only_as_the_operator_does(kind: str) -> None:
    granted = verbs("modelrelease-operator")[KINDS[kind].group, KINDS[kind].plural]
    written = {"create", "patch"} if kind not in ("Pod", "EndpointSlice") else set()
    removed = {"delete"} if kind in DELETED else set()
    assert granted == {"get", "list", "watch"} | written | removed


def test_of_a_release_only_the_status_is_written() -> None:
    granted = verbs("modelrelease-operator")
    assert granted[naming.GROUP, naming.PLURAL] == {"get", "list", "watch"}
    assert granted[naming.GROUP, f"{naming.PLURAL}/status"] == {"update"}


def test_the_lease_is_one_object_in_the_operators_own_namespace() -> None:
    role = of("Role", "modelrelease-operator-lease")
    assert role["metadata"]["namespace"] == "modelrelease-system"
    create, rest = role["rules"]
    assert create["verbs"] == ["create"]
    assert (rest["resourceNames"], rest["verbs"]) == ([LEASE_NAME], ["get", "patch"])


def test_the_pod_fits_the_restricted_standard() -> None:
    assert of("Namespace", "modelrelease-system")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == (
        "restricted"
    )
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any(pod().get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    assert [set(volume) for volume in pod()["volumes"]] == [{"name", "secret"}]
    for container in pod()["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_pod_asks_for_little_and_is_bounded() -> None:
    (container,) = pod()["containers"]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def test_two_replicas_are_spread_and_survive_a_drain() -> None:
    labels = deployment()["spec"]["template"]["metadata"]["labels"]
    assert deployment()["spec"]["replicas"] == 2
    assert pod()["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == labels
    assert of("PodDisruptionBudget", "modelrelease-operator")["spec"]["selector"]["matchLabels"] == labels
    assert of("NetworkPolicy", "modelrelease-operator")["spec"]["podSelector"]["matchLabels"] == labels


def test_probes_ask_what_the_operator_answers() -> None:
    (container,) = pod()["containers"]
    paths = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
    assert paths == {"livenessProbe": "/healthz", "readinessProbe": "/readyz", "startupProbe": "/healthz"}
    port = parse(["--puller-image", "i"], {}).metrics_port
    assert container["ports"] == [{"name": "metrics", "containerPort": port}]
    scrape = deployment()["spec"]["template"]["metadata"]["annotations"]
    assert scrape["prometheus.io/port"] == str(port)
    assert of("NetworkPolicy", "modelrelease-operator")["spec"]["ingress"] == [{"ports": [{"port": port}]}]


def test_the_settings_are_ones_that_the_operator_knows() -> None:
    settings: dict[str, str] = {}
    for _, document in DOCUMENTS:
        for generator in document.get("configMapGenerator") or ():
            settings |= dict(literal.split("=", 1) for literal in generator.get("literals", ()))
    known = parse(["--puller-image", "i"], {})
    for name in settings:
        assert hasattr(known, name.removeprefix(PREFIX).lower().replace("namespace", "namespaces")), name
    config = parse([], settings)
    assert config.prometheus_url == "http://prometheus.monitoring.svc:9090"
    assert config.namespaces == ("models",)


def test_no_manifest_names_an_image_without_a_fixed_version() -> None:
    images = [c["image"] for _, d in DOCUMENTS for c in _containers(d)]
    assert images
    assert all(re.search(r":[^/]+$", image) and not image.endswith(":latest") for image in images)


def _containers(document: Manifest) -> list[Manifest]:
    if document["kind"] != "Deployment":
        return []
    found: list[Manifest] = document["spec"]["template"]["spec"]["containers"]
    return found


def test_credentials_for_prometheus_are_a_secret_that_need_not_be_there() -> None:
    (volume,) = pod()["volumes"]
    (container,) = pod()["containers"]
    (mount,) = container["volumeMounts"]
    assert volume["secret"] == {"secretName": "modelrelease-prometheus-access", "optional": True}
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    told = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert told[f"{PREFIX}PROMETHEUS_ACCESS"] == mount["mountPath"]
