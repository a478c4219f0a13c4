"""What is rendered, on a real API server: accepted without a warning, and at rest not written again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest
from kubernetes import client, config
from modelrelease import render
from modelrelease.domain import naming
from modelrelease.domain.observed import Mirror, Slot
from modelrelease.domain.spec import GatewayTraffic, ParentRef, Traffic

from localcluster.api import Cluster
from tests.render import samples

pytestmark = pytest.mark.api

PLURALS = {
    "Job": "jobs",
    "ControllerRevision": "controllerrevisions",
    "Deployment": "deployments",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Service": "services",
    "HTTPRoute": "httproutes",
    "GRPCRoute": "grpcroutes",
    "Pod": "pods",
}
MANIFESTS = samples.everything()
manifests = pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda m: f"{m['kind']} {m['metadata']['name']}")


@dataclass(frozen=True)
class Namespace:
    """A namespace under restricted Pod Security."""

    client: client.ApiClient
    name: str

    def apply(self, manifest: dict[str, Any], *, dry_run: bool = False) -> tuple[dict[str, Any], str | None]:
        """Apply as the operator does; return what is stored then, and the server's warning."""
        body = deepcopy(manifest)
        body["metadata"]["namespace"] = self.name
        group = body["apiVersion"]
        url = (
            f"{self.client.configuration.host}/{'api' if group == 'v1' else 'apis'}/{group}/namespaces/{self.name}"
            f"/{PLURALS[body['kind']]}/{body['metadata']['name']}"
            f"?fieldManager={naming.MANAGER}&force=true&fieldValidation=Strict{'&dryRun=All' if dry_run else ''}"
        )
        headers = {"Content-Type": "application/apply-patch+yaml", "Accept": "application/json"}
        self.client.update_params_for_auth(headers, [], ["BearerToken"], url, "PATCH", body)
        answer = self.client.call_api("PATCH", url, headers, body)
        answer.read()
        assert answer.status in (200, 201), answer.data
        return json.loads(answer.data), answer.getheader("Warning")


@pytest.fixture(scope="module")
def namespace(control_plane: Cluster) -> Iterator[Namespace]:
    with config.new_client_from_config(str(control_plane.kubeconfig)) as connection:
        core = client.CoreV1Api(connection)
        policy = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        made = core.create_namespace({"metadata": {"generateName": "rendered-", "labels": policy}})
        name = made.metadata.name
        for account in ("model-builder", "model-server"):
            core.create_namespaced_service_account(name, {"metadata": {"name": account}})
        yield Namespace(client=connection, name=name)
        core.delete_namespace(name)


@manifests
def test_accepted_without_a_warning(namespace: Namespace, manifest: dict[str, Any]) -> None:
    _, warning = namespace.apply(manifest, dry_run=True)
    assert warning is None


@pytest.mark.parametrize("spec", [samples.SPEC, samples.on_s3()], ids=["claim", "s3"])
@pytest.mark.parametrize("kind", ["build", "serving"])
def test_pods_are_admitted_under_restricted_pod_security(namespace: Namespace, kind: str, spec: Any) -> None:
    template = samples.job(spec)["spec"]["template"] if kind == "build" else samples.template(spec)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        **template,
        "metadata": {**template["metadata"], "name": kind},
    }
    stored, warning = namespace.apply(pod, dry_run=True)
    assert warning is None
    volumes = {key for volume in stored["spec"]["volumes"] for key in volume}
    assert "projected" not in volumes, "an API token was mounted"


@manifests
def test_once_applied_it_is_not_written_again(namespace: Namespace, manifest: dict[str, Any]) -> None:
    stored, _ = namespace.apply(manifest)
    wanted = deepcopy(manifest)
    wanted["metadata"]["namespace"] = namespace.name
    assert not render.differs(rendered=wanted, live=stored)


def test_a_record_is_read_back_as_it_was_written(namespace: Namespace) -> None:
    stored, _ = namespace.apply(samples.record())
    read = render.parse_record(stored)
    assert read.result == samples.RESULT
    assert json.loads(read.template) == samples.template()
    assert (read.revision, read.number, read.uid) == (samples.REVISION, 4, stored["metadata"]["uid"])


@pytest.mark.parametrize("place", [0, 1], ids=["http", "grpc"])
def test_an_edited_spec_reaches_the_route(namespace: Namespace, place: int) -> None:
    gateway = samples.SPEC.traffic.gateway
    fewer = GatewayTraffic(parent_refs=(ParentRef(name="edge"),), http=gateway.http, grpc=gateway.grpc)
    namespace.apply(samples.routes()[place])
    edited = samples.routes(ppm=1, filters=False, spec=replace(samples.SPEC, traffic=Traffic(gateway=fewer)))[place]
    edited["metadata"]["namespace"] = namespace.name
    before, _ = namespace.apply(samples.routes()[place])
    assert render.differs(rendered=edited, live=before)
    after, _ = namespace.apply(edited)
    assert not render.differs(rendered=edited, live=after)
    assert render.candidate_ppm(after) == 1


@pytest.mark.parametrize("place", [0, 1], ids=["http", "grpc"])
def test_a_mirror_is_taken_off_again(namespace: Namespace, place: int) -> None:
    shadow, control = Mirror(slot=Slot.PREVIEW, percent=100), Mirror(slot=Slot.STABLE, percent=7)
    for mirror in (shadow, control, None):
        wanted = samples.routes(mirror=mirror)[place]
        wanted["metadata"] |= {"namespace": namespace.name, "name": "copies"}
        stored, _ = namespace.apply(wanted)
        stored["metadata"]["name"], read = "digits", render.mirror
        assert read(stored) == mirror
        stored["metadata"]["name"] = "copies"
        assert not render.differs(rendered=wanted, live=stored)
