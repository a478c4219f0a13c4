"""The cache under messages that overtake one another, come twice, or never come."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming
from modelrelease.runtime.store import Store, release_of

from tests.fakes.cluster import Cluster
from tests.fakes.samples import release

KEY = ("vision", "digits")


def child(version: int = 1, *, kind: str = "Service", name: str = "slot", of: str = "digits", **meta: Any) -> Manifest:
    labels = {naming.LABEL_MANAGED_BY: naming.MANAGED_BY, naming.LABEL_RELEASE: of}
    head = {"name": name, "namespace": "vision", "resourceVersion": str(version), "labels": labels, **meta}
    return {"apiVersion": "v1", "kind": kind, "metadata": head, "spec": {"at": version}}


def version_of(store: Store) -> int | None:
    found = store.get("Service", "vision", "slot")
    return None if found is None else int(found["metadata"]["resourceVersion"])


class TestOrder:
    def test_only_news_counts(self) -> None:
        store = Store()
        assert store.put("Service", child(5))
        assert not store.put("Service", child(5))
        assert not store.put("Service", child(4))
        assert store.put("Service", child(6))
        assert version_of(store) == 6

    def test_versions_are_numbers_not_text(self) -> None:
        store = Store()
        store.put("Service", child(9))
        assert store.put("Service", child(10))

    def test_a_late_word_of_a_deletion_does_not_remove_what_was_made_anew(self) -> None:
        store = Store()
        store.put("Service", child(8))
        assert not store.remove("Service", child(7))
        assert version_of(store) == 8

    def test_what_was_deleted_stays_deleted_for_older_messages(self) -> None:
        store = Store()
        store.put("Service", child(5))
        assert store.remove("Service", child(7))
        assert not store.put("Service", child(6))
        assert version_of(store) is None
        assert store.put("Service", child(8))

    def test_a_deletion_can_come_before_the_object(self) -> None:
        store = Store()
        assert not store.remove("Service", child(7))
        assert not store.put("Service", child(6))
        assert version_of(store) is None

    @given(data=st.data())
    def test_any_order_of_messages_ends_in_the_last_state(self, data: st.DataObject) -> None:
        """A life of made, changed and deleted objects, told in any order and with repetitions."""
        deleted = data.draw(st.lists(st.booleans(), min_size=1, max_size=8))
        life = list(enumerate(deleted, start=1))
        told = data.draw(st.permutations(life + data.draw(st.lists(st.sampled_from(life), max_size=4))))
        store = Store()
        for version, gone in told:
            (store.remove if gone else store.put)("Service", child(version))
        last, gone = life[-1]
        assert version_of(store) == (None if gone else last)
        assert store.children(KEY, "Service") == ([] if gone else [store.get("Service", "vision", "slot")])


class TestIndex:
    def test_children_by_release_and_kind_in_order_of_name(self) -> None:
        store = Store()
        for version, name in enumerate(("b", "a", "c"), start=1):
            store.put("Service", child(version, name=name))
        store.put("Job", child(9, kind="Job"))
        store.put("Service", child(10, name="other", of="letters"))
        assert [c["metadata"]["name"] for c in store.children(KEY, "Service")] == ["a", "b", "c"]
        assert store.children(("elsewhere", "digits"), "Service") == []

    def test_a_child_whose_label_changes_moves(self) -> None:
        store = Store()
        store.put("Service", child(1))
        store.put("Service", child(2, of="letters"))
        assert store.children(KEY, "Service") == []
        assert len(store.children(("vision", "letters"), "Service")) == 1

    def test_releases(self) -> None:
        store = Store()
        made = release()
        made["metadata"]["resourceVersion"] = "1"
        store.put(naming.KIND, made)
        assert store.releases() == [KEY]
        assert store.release(KEY) is not None
        leaving = release()
        leaving["metadata"] |= {"resourceVersion": "2", "deletionTimestamp": "2026-11-01T12:00:00Z"}
        store.put(naming.KIND, leaving)
        assert store.release(KEY) is None

    def test_release_of(self) -> None:
        assert release_of("Service", child()) == KEY
        assert release_of(naming.KIND, release()) == KEY
        assert release_of("Service", {"metadata": {"name": "x", "namespace": "vision"}}) is None


class TestSize:
    def test_managed_fields_are_not_kept(self) -> None:
        store = Store()
        store.put("Service", child(managedFields=[{"manager": "x"}]))
        found = store.get("Service", "vision", "slot")
        assert found is not None
        assert "managedFields" not in found["metadata"]

    def test_of_a_pods_spec_only_what_is_told_to_people(self) -> None:
        store = Store()
        container = {"name": "triton", "image": "i", "resources": {"limits": {"cpu": "1"}}, "env": [{"name": "x"}]}
        manifest = {**child(kind="Pod"), "spec": {"containers": [container], "volumes": [1], "nodeName": "n"}}
        store.put("Pod", manifest)
        found = store.get("Pod", "vision", "slot")
        assert found is not None
        assert found["spec"] == {
            "containers": [{"name": "triton", "image": "i", "resources": {"limits": {"cpu": "1"}}}]
        }
        assert "env" in manifest["spec"]["containers"][0], "the caller's object is the caller's"


def labelled(name: str, namespace: str = "vision") -> Manifest:
    made = child(name=name)
    del made["metadata"]["resourceVersion"]
    made["metadata"]["namespace"] = namespace
    return made


class TestResync:
    async def test_everything_is_there_and_what_is_gone_goes(self) -> None:
        cluster, store = Cluster(), Store()
        cluster.create(release())
        cluster.create(labelled("kept"))
        cluster.create(labelled("lost"))
        await store.resync(cluster)
        assert [c["metadata"]["name"] for c in store.children(KEY, "Service")] == ["kept", "lost"]
        cluster.purge("Service", "vision", "lost")
        cluster.purge(naming.KIND, *KEY)
        await store.resync(cluster)
        assert [c["metadata"]["name"] for c in store.children(KEY, "Service")] == ["kept"]
        assert store.releases() == []

    async def test_objects_of_others_are_not_listed(self) -> None:
        cluster, store = Cluster(), Store()
        stranger = labelled("stranger")
        del stranger["metadata"]["labels"]
        cluster.create(stranger)
        await store.resync(cluster)
        assert store.get("Service", "vision", "stranger") is None

    async def test_what_was_written_after_the_list_was_read_stays(self) -> None:
        cluster, store = Cluster(), Store()
        cluster.create(labelled("old"))
        store.put("Service", child(1_000_000, name="new"))
        await store.resync(cluster)
        assert store.get("Service", "vision", "new") is not None

    async def test_a_late_message_does_not_bring_back_what_a_list_missed(self) -> None:
        cluster, store = Cluster(), Store()
        cluster.create(labelled("lost"))
        await store.resync(cluster)
        late = cluster.watch[-1].object
        cluster.purge("Service", "vision", "lost")
        await store.resync(cluster)
        assert not store.put("Service", late)

    async def test_only_the_namespaces_that_are_served(self) -> None:
        cluster, store = Cluster(), Store(namespaces=("vision", "speech"))
        for namespace in ("vision", "speech", "other"):
            cluster.create(labelled("slot", namespace))
        await store.resync(cluster)
        found = {ns: store.get("Service", ns, "slot") is not None for ns in ("vision", "speech", "other")}
        assert found == {"vision": True, "speech": True, "other": False}

    async def test_without_the_gateway_api_the_rest_is_listed(self) -> None:
        cluster, store = Cluster(), Store()
        cluster.absent_kinds = {"HTTPRoute", "GRPCRoute"}
        cluster.create(release())
        await store.resync(cluster)
        assert store.absent == {"HTTPRoute", "GRPCRoute"}
        assert store.releases() == [KEY]
        cluster.absent_kinds = set()
        await store.resync(cluster)
        assert store.absent == frozenset()

    @pytest.mark.parametrize("seed", range(5))
    async def test_lost_events_are_made_good(self, seed: int) -> None:
        """Half of all events are lost: a list brings the cache to what is."""
        dice = random.Random(seed)
        cluster, store = Cluster(), Store()
        names = [f"slot-{number}" for number in range(6)]
        for _ in range(40):
            name = dice.choice(names)
            if ("Service", "vision", name) not in cluster.objects:
                cluster.create(labelled(name))
            elif dice.random() < 0.4:
                cluster.purge("Service", "vision", name)
            else:
                at = dice.random()
                cluster.edit("Service", "vision", name, lambda live, at=at: live["spec"].update(at=at))
            if dice.random() < 0.5:
                event = cluster.watch[-1]
                (store.remove if event.type == "DELETED" else store.put)(event.kind, event.object)
        await store.resync(cluster)
        assert store.children(KEY, "Service") == cluster.all("Service")
