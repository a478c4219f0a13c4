"""The adapter's promises, asked of the real API server: ownership, preconditions, errors, chunks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from modelrelease import __version__
from modelrelease.adapters import errors, kinds
from modelrelease.adapters import kube as kube_module
from modelrelease.adapters.kinds import KINDS, Kind
from modelrelease.adapters.kube import KubeClient
from modelrelease.domain import codec, naming
from modelrelease.domain.observed import Observed
from modelrelease.domain.plan import Announce
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Status
from modelrelease.runtime.apply import event
from modelrelease.runtime.observe import meta_of

from localcluster.api import Cluster
from tests.adapters.kube_contract import TestApply, TestDelete, TestStatus, head, service
from tests.fakes.samples import release

__all__ = ["TestApply", "TestDelete", "TestStatus"]

pytestmark = pytest.mark.api


def quota(namespace: str, **hard: str) -> str:
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "team", "namespace": namespace},
        "spec": {"hard": {name.replace("__", "/"): value for name, value in hard.items()}},
    }
    return json.dumps(body)


class TestRealStatus:
    async def test_fields_that_are_left_out_go_whoever_wrote_them(
        self, kube: KubeClient, api_server: Cluster, namespace: str
    ) -> None:
        made = await kube.apply(release(namespace=namespace), manager="tests")
        body = {**made, "status": {"phase": "Building", "message": "first"}}
        first = await kube.replace_status(body, manager=naming.MANAGER_STATUS)
        assert first["status"]["message"] == "first"
        patch = json.dumps({"status": {"step": "3/5"}})
        args = ("-n", namespace, "patch", "modelrelease/digits", "--subresource=status", "--type=merge", "-p", patch)
        api_server.kubectl(*args)
        seen = await kube.get(naming.KIND, namespace=namespace, name="digits")
        assert seen["status"]["step"] == "3/5"
        second = await kube.replace_status(
            {**head(seen), "status": {"phase": "Building"}}, manager=naming.MANAGER_STATUS
        )
        assert second["status"] == {"phase": "Building"}
        assert second["spec"] == made["spec"], "the spec is not the status' business"
        assert second["metadata"]["generation"] == made["metadata"]["generation"]

    async def test_without_a_resource_version_nothing_is_sent(self, kube: KubeClient, namespace: str) -> None:
        with pytest.raises(ValueError, match="resourceVersion"):
            await kube.replace_status(release(namespace=namespace), manager=naming.MANAGER_STATUS)


class TestRealDelete:
    async def test_what_lingers_is_returned(self, kube: KubeClient, namespace: str) -> None:
        manifest = service(namespace)
        manifest["metadata"]["finalizers"] = ["example.com/hold"]
        made = (await kube.apply(manifest, manager=naming.MANAGER))["metadata"]
        rest = await kube.delete(
            "Service", namespace=namespace, name="slot", uid=made["uid"], resource_version=made["resourceVersion"]
        )
        assert rest is not None
        assert "deletionTimestamp" in rest["metadata"]
        await kube.apply(service(namespace), manager=naming.MANAGER)  # takes the finalizer away


class TestErrors:
    async def test_an_absent_object_and_an_absent_kind_differ(
        self, kube: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(errors.NotFound, match="slot"):
            await kube.get("Service", namespace=namespace, name="slot")
        absent = Kind(name="Absent", group="absent.example", version="v1", plural="absents")
        monkeypatch.setitem(KINDS, "Absent", absent)
        with pytest.raises(errors.KindAbsent):
            await kube.list("Absent", namespace=namespace)
        with pytest.raises(errors.KindAbsent):
            await kube.apply(
                {
                    "apiVersion": "absent.example/v1",
                    "kind": "Absent",
                    "metadata": {"name": "a", "namespace": namespace},
                },
                manager=naming.MANAGER,
            )

    async def test_invalid_content_names_the_field(self, kube: KubeClient, namespace: str) -> None:
        manifest = service(namespace)
        manifest["spec"]["ports"][0]["port"] = 70000
        with pytest.raises(errors.Invalid, match=r"spec\.ports\[0\]\.port"):
            await kube.apply(manifest, manager=naming.MANAGER)

    async def test_a_used_up_quota(self, kube: KubeClient, api_server: Cluster, namespace: str) -> None:
        api_server.kubectl("apply", "-f", "-", stdin=quota(namespace, services="0"))
        refusal: errors.ApiError | None = None
        async with asyncio.timeout(20):
            while not isinstance(refusal, errors.QuotaExceeded):  # not until the quota controller has counted
                with pytest.raises(errors.Forbidden) as caught:
                    await kube.apply(service(namespace), manager=naming.MANAGER)
                refusal = caught.value
        assert "exceeded quota: team" in str(refusal)

    async def test_a_missing_namespace_is_not_found(self, kube: KubeClient) -> None:
        with pytest.raises(errors.NotFound, match="namespaces"):
            await kube.apply(service("there-is-none"), manager=naming.MANAGER)


class TestList:
    async def test_chunks_make_one_list_with_kinds(
        self, kube: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kube_module, "CHUNK", 2)
        for number in range(5):
            manifest = service(namespace, odd=str(number % 2))
            manifest["metadata"]["name"] = f"slot-{number}"
            await kube.apply(manifest, manager=naming.MANAGER)
        listed = await kube.list("Service", namespace=namespace)
        assert [item["metadata"]["name"] for item in listed.items] == [f"slot-{number}" for number in range(5)]
        assert {item["kind"] for item in listed.items} == {"Service"}
        assert int(listed.resource_version) >= max(int(i["metadata"]["resourceVersion"]) for i in listed.items)
        odd = await kube.list("Service", namespace=namespace, labels={"odd": "1"})
        assert len(odd.items) == 2

    @pytest.mark.parametrize("kind", sorted(kinds.KINDS))
    async def test_every_kind_is_where_it_is_said_to_be(self, kube: KubeClient, kind: str) -> None:
        await kube.list(kind)


class TestEvents:
    async def test_the_same_decision_makes_one_event(self, kube: KubeClient, namespace: str) -> None:
        made = await kube.apply(release(namespace=namespace), manager="tests")
        observed = Observed(meta=meta_of(made), spec=codec.decode(Spec, made["spec"]), status=Status())
        told = Announce(type="Normal", reason="WeightAccepted", message="m" * 3000)
        body = event(observed, told, number=0, now=datetime.now(UTC))
        await kube.create_event(body)
        await kube.create_event(body)
        about = {"regarding.kind": naming.KIND, "regarding.name": "digits"}
        found = (await kube.list("Event", namespace=namespace, fields=about)).items
        assert [item["reason"] for item in found] == ["WeightAccepted"]
        later = replace(observed, meta=replace(observed.meta, resource_version="999"))
        await kube.create_event(event(later, told, number=0, now=datetime.now(UTC)))
        assert len((await kube.list("Event", namespace=namespace, fields=about)).items) == 2


async def test_it_says_who_it_is(kube: KubeClient, api_server: Cluster, namespace: str) -> None:
    await kube.apply(service(namespace), manager=naming.MANAGER)
    agents = {
        entry["userAgent"]
        for entry in map(json.loads, api_server.audit_log.read_text().splitlines())
        if f"namespaces/{namespace}/services" in entry["requestURI"]
    }
    assert agents == {f"modelrelease-operator/{__version__}"}
