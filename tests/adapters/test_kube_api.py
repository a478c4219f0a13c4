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
from modelrelease.adapters.kinds import KINDS, Kind, Manifest
from modelrelease.adapters.kube import KubeClient
from modelrelease.domain import codec, naming
from modelrelease.domain.observed import Observed
from modelrelease.domain.plan import Announce
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Status
from modelrelease.runtime.apply import event
from modelrelease.runtime.observe import meta_of

from localcluster.api import Cluster
from tests.fakes.samples import release

pytestmark = pytest.mark.api

NOBODY = "0e5a9a0c-0000-4000-8000-000000000000"  # a uid that no object has


def service(namespace: str, *, color: str = "blue", **labels: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "slot", "namespace": namespace, "labels": labels},
        "spec": {"selector": {"color": color}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }


def quota(namespace: str, **hard: str) -> str:
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "team", "namespace": namespace},
        "spec": {"hard": {name.replace("__", "/"): value for name, value in hard.items()}},
    }
    return json.dumps(body)


class TestApply:
    async def test_creates_then_changes_only_what_it_names(
        self, kube: KubeClient, api_server: Cluster, namespace: str
    ) -> None:
        made = await kube.apply(service(namespace, color="blue", mine="yes"), manager=naming.MANAGER)
        api_server.kubectl("-n", namespace, "label", "service/slot", "theirs=yes")
        changed = await kube.apply(service(namespace, color="green", mine="yes"), manager=naming.MANAGER)
        assert changed["metadata"]["uid"] == made["metadata"]["uid"]
        assert changed["spec"]["selector"] == {"color": "green"}
        assert changed["metadata"]["labels"] == {"mine": "yes", "theirs": "yes"}
        assert changed["kind"] == "Service", "the answer says what it is"

    async def test_a_field_that_is_no_longer_named_goes(self, kube: KubeClient, namespace: str) -> None:
        await kube.apply(service(namespace, first="1", second="2"), manager=naming.MANAGER)
        changed = await kube.apply(service(namespace, first="1"), manager=naming.MANAGER)
        assert changed["metadata"]["labels"] == {"first": "1"}

    async def test_the_same_again_changes_nothing(self, kube: KubeClient, namespace: str) -> None:
        made = await kube.apply(service(namespace), manager=naming.MANAGER)
        again = await kube.apply(service(namespace), manager=naming.MANAGER)
        assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    async def test_a_stale_resource_version_is_a_conflict(self, kube: KubeClient, namespace: str) -> None:
        old = await kube.apply(service(namespace), manager=naming.MANAGER)
        await kube.apply(service(namespace, color="green"), manager=naming.MANAGER)
        stale = old["metadata"]["resourceVersion"]
        with pytest.raises(errors.Conflict):
            await kube.apply(service(namespace, color="red"), manager=naming.MANAGER, resource_version=stale)
        now = await kube.get("Service", namespace=namespace, name="slot")
        assert now["spec"]["selector"] == {"color": "green"}

    async def test_the_present_resource_version_is_accepted(self, kube: KubeClient, namespace: str) -> None:
        made = await kube.apply(service(namespace), manager=naming.MANAGER)
        version = made["metadata"]["resourceVersion"]
        changed = await kube.apply(service(namespace, color="red"), manager=naming.MANAGER, resource_version=version)
        assert changed["spec"]["selector"] == {"color": "red"}

    async def test_a_uid_never_creates(self, kube: KubeClient, namespace: str) -> None:
        manifest = service(namespace)
        manifest["metadata"]["uid"] = NOBODY
        with pytest.raises(errors.Conflict):
            await kube.apply(manifest, manager=naming.MANAGER)
        made = await kube.apply(service(namespace), manager=naming.MANAGER)
        with pytest.raises(errors.Conflict):
            await kube.apply(manifest, manager=naming.MANAGER)
        manifest["metadata"]["uid"] = made["metadata"]["uid"]
        await kube.apply(manifest, manager=naming.MANAGER)

    async def test_without_force_others_keep_their_fields(self, kube: KubeClient, namespace: str) -> None:
        await kube.apply(service(namespace, color="theirs"), manager="somebody")
        with pytest.raises(errors.Conflict, match="somebody"):
            await kube.apply(service(namespace, color="ours"), manager=naming.MANAGER, force=False)
        taken = await kube.apply(service(namespace, color="ours"), manager=naming.MANAGER)
        assert taken["spec"]["selector"] == {"color": "ours"}


class TestStatus:
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
            {**_head(seen), "status": {"phase": "Building"}}, manager=naming.MANAGER_STATUS
        )
        assert second["status"] == {"phase": "Building"}
        assert second["spec"] == made["spec"], "the spec is not the status' business"
        assert second["metadata"]["generation"] == made["metadata"]["generation"]

    async def test_a_stale_resource_version_is_a_conflict(self, kube: KubeClient, namespace: str) -> None:
        made = await kube.apply(release(namespace=namespace), manager="tests")
        await kube.replace_status({**_head(made), "status": {"phase": "Building"}}, manager=naming.MANAGER_STATUS)
        with pytest.raises(errors.Conflict):
            await kube.replace_status({**_head(made), "status": {"phase": "Ready"}}, manager=naming.MANAGER_STATUS)

    async def test_an_edit_of_the_spec_makes_a_status_stale(self, kube: KubeClient, namespace: str) -> None:
        made = await kube.apply(release(namespace=namespace), manager="tests")
        await kube.apply(release(namespace=namespace, version="2"), manager="tests")
        with pytest.raises(errors.Conflict):
            await kube.replace_status({**_head(made), "status": {"phase": "Ready"}}, manager=naming.MANAGER_STATUS)

    async def test_the_same_again_changes_nothing(self, kube: KubeClient, namespace: str) -> None:
        made = await kube.apply(release(namespace=namespace), manager="tests")
        status = {"phase": "Building"}
        once = await kube.replace_status({**_head(made), "status": status}, manager=naming.MANAGER_STATUS)
        twice = await kube.replace_status({**_head(once), "status": status}, manager=naming.MANAGER_STATUS)
        assert twice["metadata"]["resourceVersion"] == once["metadata"]["resourceVersion"]

    async def test_without_a_resource_version_nothing_is_sent(self, kube: KubeClient, namespace: str) -> None:
        with pytest.raises(ValueError, match="resourceVersion"):
            await kube.replace_status(release(namespace=namespace), manager=naming.MANAGER_STATUS)


class TestDelete:
    async def test_only_the_object_that_was_seen(self, kube: KubeClient, namespace: str) -> None:
        old = await kube.apply(service(namespace), manager=naming.MANAGER)
        new = await kube.apply(service(namespace, color="green"), manager=naming.MANAGER)
        uid, stale = old["metadata"]["uid"], old["metadata"]["resourceVersion"]
        with pytest.raises(errors.Conflict):
            await kube.delete("Service", namespace=namespace, name="slot", uid=uid, resource_version=stale)
        with pytest.raises(errors.Conflict):
            await kube.delete(
                "Service",
                namespace=namespace,
                name="slot",
                uid=NOBODY,
                resource_version=new["metadata"]["resourceVersion"],
            )
        version = new["metadata"]["resourceVersion"]
        assert await kube.delete("Service", namespace=namespace, name="slot", uid=uid, resource_version=version) is None
        with pytest.raises(errors.NotFound):
            await kube.get("Service", namespace=namespace, name="slot")

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
        told = Announce(type="Normal", reason="ReleaseStarted", message="m" * 3000)
        body = event(observed, told, number=0, now=datetime.now(UTC))
        await kube.create_event(body)
        await kube.create_event(body)
        about = {"regarding.kind": naming.KIND, "regarding.name": "digits"}
        found = (await kube.list("Event", namespace=namespace, fields=about)).items
        assert [item["reason"] for item in found] == ["ReleaseStarted"]
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


def _head(obj: Manifest) -> Manifest:
    return {key: obj[key] for key in ("apiVersion", "kind", "metadata")}
