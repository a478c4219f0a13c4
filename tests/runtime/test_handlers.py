"""From kopf's events to cache and queue."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

import kopf
import pytest
from modelrelease.adapters.errors import KindAbsent, Unavailable
from modelrelease.adapters.kinds import CACHED, CHILDREN, KINDS
from modelrelease.adapters.kube import Listed
from modelrelease.domain import naming
from modelrelease.runtime.handlers import Informer, NewKinds, PatientBackoff, Resync, in_cluster_server, settings
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.queue import WorkQueue
from modelrelease.runtime.store import Store

from tests.runtime.virtual import now, virtual, wall

Manifest = dict[str, Any]
KEY = ("vision", "digits")


def obj(kind: str, *, version: int, name: str = "digits", release: str | None = None, **more: Any) -> Manifest:
    labels = {naming.LABEL_RELEASE: release} if release else {}
    meta = {"namespace": "vision", "name": name, "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"kind": kind, "metadata": meta, **more}


def release(version: int, phase: str | None = None, step: int | None = None) -> Manifest:
    candidate = {"revision": "abc", "version": "2", "step": step, "weight": {"desired": 5}}
    status = {"phase": phase, "message": f"now {phase}", "candidate": candidate} if phase else {}
    return obj(naming.KIND, version=version, status=status)


def informer() -> Informer:
    return Informer(store=Store(), queue=WorkQueue(wall=wall), metrics=Metrics())


@virtual
async def test_events_of_a_release_and_of_its_children_queue_its_key_once() -> None:
    it = informer()
    it.take_in(naming.KIND, release(1), deleted=False)
    it.take_in("Job", obj("Job", version=2, name="digits-build", release="digits"), deleted=False)
    it.take_in("Pod", obj("Pod", version=3, name="digits-pod", release="digits"), deleted=False)
    assert len(it.queue) == 1
    assert await it.queue.get() == KEY
    assert it.store.release(KEY) is not None
    assert len(it.store.children(KEY, "Job")) == 1


@virtual
async def test_what_is_no_news_wakes_nobody() -> None:
    it = informer()
    it.store.put("Service", obj("Service", version=7, release="digits"))
    it.take_in("Service", obj("Service", version=7, release="digits"), deleted=False)
    it.take_in("Service", obj("Service", version=6, release="digits"), deleted=False)
    assert len(it.queue) == 0


@virtual
async def test_a_deletion_queues_the_key_and_empties_the_cache() -> None:
    it = informer()
    it.take_in("Deployment", obj("Deployment", version=2, release="digits"), deleted=False)
    it.queue.done(await it.queue.get())
    it.take_in("Deployment", obj("Deployment", version=3, release="digits"), deleted=True)
    assert await it.queue.get() == KEY
    assert it.store.children(KEY, "Deployment") == []


@virtual
async def test_a_child_given_to_another_release_concerns_both() -> None:
    it = informer()
    it.take_in("Service", obj("Service", version=2, name="s", release="digits"), deleted=False)
    it.queue.done(await it.queue.get())
    it.take_in("Service", obj("Service", version=3, name="s", release="faces"), deleted=False)
    assert {await it.queue.get(), await it.queue.get()} == {KEY, ("vision", "faces")}


@virtual
async def test_an_object_of_no_release_is_kept_from_the_queue() -> None:
    it = informer()
    it.take_in("Service", obj("Service", version=2), deleted=False)
    assert len(it.queue) == 0


def test_each_transition_is_one_log_line_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    @virtual
    async def scenario() -> None:
        it = informer()
        events = [
            release(1),
            release(2, "Building"),
            release(3, "Building"),
            release(4, "Progressing", 0),
            release(5, "Progressing", 0),
            release(6, "Progressing", 1),
        ]
        for event in events:
            it.take_in(naming.KIND, event, deleted=False)
        labels = {"namespace": "vision", "release": "digits", "phase": "Progressing"}
        assert it.metrics.registry.get_sample_value("modelrelease_transitions_total", labels) == 2

    with caplog.at_level(logging.INFO, logger="modelrelease.runtime.handlers"):
        scenario()
    assert [record.getMessage() for record in caplog.records] == ["now Building", "now Progressing", "now Progressing"]
    assert caplog.records[-1].fields["step"] == 1  # type: ignore[attr-defined]


def test_what_a_new_leader_finds_is_no_transition(caplog: pytest.LogCaptureFixture) -> None:
    @virtual
    async def scenario() -> None:
        it = informer()
        it.store.put(naming.KIND, release(8, "Baking", 3))
        it.remember()
        it.take_in(naming.KIND, release(8, "Baking", 3), deleted=False)
        it.take_in(naming.KIND, release(9, "Ready"), deleted=False)

    with caplog.at_level(logging.INFO, logger="modelrelease.runtime.handlers"):
        scenario()
    assert [record.getMessage() for record in caplog.records] == ["now Ready"]


def test_every_cached_kind_has_one_handler_and_children_are_selected_by_the_server() -> None:
    registry = informer().registry()
    selectors = registry._watching.get_all_selectors()
    assert {(s.group, s.version, s.any_name) for s in selectors} == {
        (KINDS[name].group, KINDS[name].version, KINDS[name].plural) for name in CACHED
    }
    chosen = settings()
    assert len(chosen.watching.label_selectors) == len(CHILDREN)
    assert set(chosen.watching.label_selectors.values()) == {f"{naming.LABEL_MANAGED_BY}={naming.MANAGED_BY}"}


def test_kopf_neither_writes_nor_keeps_anything() -> None:
    registry = informer().registry()
    for others in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert not others.get_all_handlers()
    assert not settings().posting.enabled


def test_kopf_asks_for_whole_seconds_and_never_gives_up() -> None:
    chosen = settings()
    assert isinstance(chosen.watching.server_timeout, int), "it becomes a query parameter as it is"
    assert chosen.watching.client_timeout is not None
    assert chosen.watching.client_timeout > chosen.watching.server_timeout
    assert chosen.scanning.disabled
    assert isinstance(chosen.networking.error_backoffs, PatientBackoff)


def test_the_patient_back_off_grows_to_a_bound_and_has_no_end() -> None:
    delays = list(itertools.islice(PatientBackoff(), 1000))
    assert delays[0] < 1.3
    assert all(24 <= delay <= 36 for delay in delays[6:])
    assert delays != list(itertools.islice(PatientBackoff(), 1000)), "replicas must not try in step"


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_the_servers_address_needs_no_dns(host: str, server: str) -> None:
    assert in_cluster_server({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}) == server


class Lists:
    """A Kube whose lists the test controls."""

    def __init__(self, *releases: Manifest) -> None:
        self.releases = list(releases)
        self.calls: list[float] = []
        self.down = False

    async def list(self, kind: str, **_: Any) -> Listed:
        if kind == CACHED[0]:
            self.calls.append(now())
        if self.down:
            raise Unavailable("down")
        return Listed(items=tuple(self.releases) if kind == naming.KIND else (), resource_version="50")


async def resync(kube: Lists) -> tuple[WorkQueue, Store, asyncio.Task[None]]:
    queue, store = WorkQueue(wall=wall), Store()
    kube_: Any = kube
    task = asyncio.create_task(Resync(store=store, kube=kube_, queue=queue).run())
    await asyncio.sleep(0)
    return queue, store, task


@virtual
async def test_the_periodic_list_finds_what_no_event_told_and_looks_at_every_release() -> None:
    kube = Lists(release(3))
    queue, store, task = await resync(kube)
    assert await queue.get() == KEY
    assert 24 < now() < 36 + 36
    assert store.release(KEY) is not None
    queue.done(KEY)
    assert await queue.get() == KEY
    assert 480 < kube.calls[1] - kube.calls[0] < 720
    task.cancel()


@virtual
async def test_a_failed_list_is_tried_again_soon() -> None:
    kube = Lists(release(3))
    kube.down = True
    _, store, task = await resync(kube)
    await asyncio.sleep(40)
    kube.down = False
    await asyncio.sleep(75)
    assert store.release(KEY) is not None
    assert not task.done()
    task.cancel()


@virtual
async def test_a_kind_that_is_installed_later_is_noticed_and_only_that() -> None:
    class Kinds:
        installed = False
        asked: list[str]

        async def list(self, kind: str, **_: Any) -> Listed:
            self.asked.append(kind)
            if not self.installed:
                raise KindAbsent("unknown")
            return Listed(items=(), resource_version="1")

    kube: Any = Kinds()
    kube.asked = []
    task = asyncio.create_task(NewKinds(kube=kube, absent=frozenset({"HTTPRoute"}), namespace=None).run())
    await asyncio.sleep(1000)
    assert not task.done()
    assert set(kube.asked) == {"HTTPRoute"}
    kube.installed = True
    await asyncio.wait_for(task, 7)


def test_kopf_is_given_no_default_registry() -> None:
    informer().registry()
    assert not kopf.get_default_registry()._watching.get_all_handlers()
