"""What `Kube` promises, asked alike of the real API server and of the one in memory.

Imported by the test modules that give `kube` and `namespace`: so the fake on which the rest
of the tests stand is held to what is true.
"""

from __future__ import annotations

import pytest
from modelrelease.adapters import errors
from modelrelease.adapters.kinds import Manifest
from modelrelease.adapters.kube import Kube
from modelrelease.domain import naming

from tests.fakes.samples import release

NOBODY = "0e5a9a0c-0000-4000-8000-000000000000"  # a uid that no object has


def service(namespace: str, *, color: str = "blue", **labels: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "slot", "namespace": namespace, "labels": labels},
        "spec": {"selector": {"color": color}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }


def head(obj: Manifest) -> Manifest:
    return {key: obj[key] for key in ("apiVersion", "kind", "metadata")}


class TestApply:
    async def test_creates_then_changes_only_what_it_names(self, kube: Kube, namespace: str) -> None:
        made = await kube.apply(service(namespace, color="blue", mine="yes"), manager=naming.MANAGER)
        theirs = {**service(namespace, theirs="yes"), "spec": made["spec"]}
        await kube.apply(theirs, manager="somebody")
        changed = await kube.apply(service(namespace, color="green", mine="yes"), manager=naming.MANAGER)
        assert changed["metadata"]["uid"] == made["metadata"]["uid"]
        assert changed["spec"]["selector"] == {"color": "green"}
        assert changed["metadata"]["labels"] == {"mine": "yes", "theirs": "yes"}
        assert changed["kind"] == "Service", "the answer says what it is"

    async def test_a_field_that_is_no_longer_named_goes(self, kube: Kube, namespace: str) -> None:
        await kube.apply(service(namespace, first="1", second="2"), manager=naming.MANAGER)
        changed = await kube.apply(service(namespace, first="1"), manager=naming.MANAGER)
        assert changed["metadata"]["labels"] == {"first": "1"}

    async def test_the_same_again_changes_nothing(self, kube: Kube, namespace: str) -> None:
        made = await kube.apply(service(namespace), manager=naming.MANAGER)
        again = await kube.apply(service(namespace), manager=naming.MANAGER)
        assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    async def test_a_stale_resource_version_is_a_conflict(self, kube: Kube, namespace: str) -> None:
        old = await kube.apply(service(namespace), manager=naming.MANAGER)
        await kube.apply(service(namespace, color="green"), manager=naming.MANAGER)
        stale = old["metadata"]["resourceVersion"]
        with pytest.raises(errors.Conflict):
            await kube.apply(service(namespace, color="red"), manager=naming.MANAGER, resource_version=stale)
        now = await kube.get("Service", namespace=namespace, name="slot")
        assert now["spec"]["selector"] == {"color": "green"}

    async def test_the_present_resource_version_is_accepted(self, kube: Kube, namespace: str) -> None:
        made = await kube.apply(service(namespace), manager=naming.MANAGER)
        version = made["metadata"]["resourceVersion"]
        changed = await kube.apply(service(namespace, color="red"), manager=naming.MANAGER, resource_version=version)
        assert changed["spec"]["selector"] == {"color": "red"}

    async def test_a_uid_never_creates(self, kube: Kube, namespace: str) -> None:
        manifest = service(namespace)
        manifest["metadata"]["uid"] = NOBODY
        with pytest.raises(errors.Conflict):
            await kube.apply(manifest, manager=naming.MANAGER)
        made = await kube.apply(service(namespace), manager=naming.MANAGER)
        with pytest.raises(errors.Conflict):
            await kube.apply(manifest, manager=naming.MANAGER)
        manifest["metadata"]["uid"] = made["metadata"]["uid"]
        await kube.apply(manifest, manager=naming.MANAGER)

    async def test_without_force_others_keep_their_fields(self, kube: Kube, namespace: str) -> None:
        await kube.apply(service(namespace, color="theirs"), manager="somebody")
        with pytest.raises(errors.Conflict, match="somebody"):
            await kube.apply(service(namespace, color="ours"), manager=naming.MANAGER, force=False)
        taken = await kube.apply(service(namespace, color="ours"), manager=naming.MANAGER)
        assert taken["spec"]["selector"] == {"color": "ours"}


class TestStatus:
    async def test_a_stale_resource_version_is_a_conflict(self, kube: Kube, namespace: str) -> None:
        made = await kube.apply(release(namespace=namespace), manager="tests")
        await kube.replace_status({**head(made), "status": {"phase": "Building"}}, manager=naming.MANAGER_STATUS)
        with pytest.raises(errors.Conflict):
            await kube.replace_status({**head(made), "status": {"phase": "Ready"}}, manager=naming.MANAGER_STATUS)

    async def test_an_edit_of_the_spec_makes_a_status_stale(self, kube: Kube, namespace: str) -> None:
        made = await kube.apply(release(namespace=namespace), manager="tests")
        await kube.apply(release(namespace=namespace, version="2"), manager="tests")
        with pytest.raises(errors.Conflict):
            await kube.replace_status({**head(made), "status": {"phase": "Ready"}}, manager=naming.MANAGER_STATUS)

    async def test_the_same_again_changes_nothing(self, kube: Kube, namespace: str) -> None:
        made = await kube.apply(release(namespace=namespace), manager="tests")
        status = {"phase": "Building"}
        once = await kube.replace_status({**head(made), "status": status}, manager=naming.MANAGER_STATUS)
        twice = await kube.replace_status({**head(once), "status": status}, manager=naming.MANAGER_STATUS)
        assert twice["metadata"]["resourceVersion"] == once["metadata"]["resourceVersion"]


class TestDelete:
    async def test_only_the_object_that_was_seen(self, kube: Kube, namespace: str) -> None:
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
