"""Whole releases on a cluster in memory: observe, decide and apply together."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming
from modelrelease.domain.commands import Verb, annotation, format_command
from modelrelease.domain.observed import PPM, Slot

from tests.fakes import controllers, faults
from tests.fakes.evidence import FAILING
from tests.fakes.samples import NAME, NAMESPACE, release, set_version
from tests.fakes.world import World

KEY = (NAMESPACE, NAME)


async def serving(**changes: Any) -> World:
    """Return a world in which version 1 serves and all is at rest."""
    world = World()
    world.cluster.create(release(**changes))
    await world.run(KEY, seconds=10)
    assert world.status(KEY)["phase"] == "Ready"
    return world


def release_version(world: World, version: str) -> None:
    world.cluster.edit(naming.KIND, *KEY, lambda live: set_version(live["spec"], version))


def weights(route: Manifest) -> list[int]:
    return [backend["weight"] for backend in route["spec"]["rules"][0]["backendRefs"]]


def headers(route: Manifest) -> list[str]:
    backends = route["spec"]["rules"][0]["backendRefs"]
    return [backend["filters"][0]["responseHeaderModifier"]["set"][0]["value"] for backend in backends]


def selected(world: World, slot: Slot) -> str:
    service = world.cluster.at("Service", NAMESPACE, naming.service(NAME, slot))
    return str(service["spec"]["selector"][naming.LABEL_REVISION])


async def test_a_good_release_is_promoted_and_leaves_nothing_behind() -> None:
    world = await serving()
    old = selected(world, Slot.STABLE)
    release_version(world, "2")
    await world.run(KEY, seconds=150)
    status = world.status(KEY)
    new = status["stable"]["revision"]
    assert (status["stable"]["version"], status["phase"]) == ("2", "Ready")
    assert new != old
    assert {selected(world, slot) for slot in Slot} == {new}
    for kind in ("HTTPRoute", "GRPCRoute"):
        route = world.cluster.at(kind, NAMESPACE, NAME)
        assert weights(route) == [PPM - 1, 1]
        assert headers(route) == [new, new]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert [obj["metadata"]["name"] for obj in world.cluster.all(kind)] == [naming.deployment(NAME, new)]


async def test_a_bad_release_goes_back_route_first() -> None:
    world = await serving()
    old = selected(world, Slot.STABLE)
    world.outside.candidate = FAILING
    release_version(world, "2")
    await world.run(KEY, seconds=60)
    status = world.status(KEY)
    assert (status["phase"], status["stable"]["version"]) == ("RolledBack", "1")
    assert {selected(world, slot) for slot in Slot} == {old}
    done = [(write.verb, write.kind) for write in world.cluster.writes]
    last_route = max(index for index, write in enumerate(done) if write == ("apply", "GRPCRoute"))
    assert done.index(("delete", "Deployment")) > last_route
    assert weights(world.cluster.at("HTTPRoute", NAMESPACE, NAME)) == [PPM - 1, 1]


async def test_at_rest_nothing_is_written_or_read() -> None:
    world = await serving()
    seen = world.cluster.faults.writes_seen, world.cluster.faults.reads_seen, len(world.outside.questions)
    await world.run(KEY, seconds=600, step=60)
    after = world.cluster.faults.writes_seen, world.cluster.faults.reads_seen, len(world.outside.questions)
    assert after == seen
    assert await world.reconciler.reconcile(KEY) is None, "and nothing is waited for"


async def test_a_restart_at_rest_writes_nothing() -> None:
    world = await serving()
    seen = world.cluster.faults.writes_seen
    await world.restart()
    await world.run(KEY, seconds=10)
    assert world.cluster.faults.writes_seen == seen


async def test_header_alone_is_no_reason_for_a_route_write_at_the_floor() -> None:
    """Five weights and their way back, on two protocols: no route write besides."""
    world = await serving()
    seen = len(world.cluster.writes)
    release_version(world, "2")
    await world.run(KEY, seconds=150)
    routes = [write for write in world.cluster.writes[seen:] if write.kind == "HTTPRoute"]
    assert len(routes) == 5  # 10 %, 50 %, all but the control, all, and back to the stable place


async def test_the_place_with_traffic_says_its_revision() -> None:
    world = await serving()
    old = selected(world, Slot.STABLE)
    release_version(world, "2")
    await world.run(KEY, seconds=5)
    new = world.status(KEY)["candidate"]["revision"]
    route = world.cluster.at("HTTPRoute", NAMESPACE, NAME)
    assert weights(route) == [PPM - PPM // 10, PPM // 10]
    assert headers(route) == [old, new]


async def test_a_deleted_release_is_forgotten() -> None:
    world = await serving()
    world.cluster.purge(naming.KIND, *KEY)
    seen = world.cluster.faults.writes_seen
    await world.reconcile(KEY)
    assert world.cluster.faults.writes_seen == seen
    controllers.collect_garbage(world.cluster)
    left = [ident for ident in world.cluster.objects if ident[0] != "Event"]
    assert left == []


async def test_a_release_that_is_being_deleted_is_left_alone() -> None:
    world = await serving()
    stamp = "2026-11-01T12:30:00Z"
    world.cluster.edit(naming.KIND, *KEY, lambda live: live["metadata"].update(deletionTimestamp=stamp))
    release_version(world, "2")
    seen = world.cluster.faults.writes_seen
    await world.run(KEY, seconds=5)
    assert world.cluster.faults.writes_seen == seen


class TestMalformed:
    async def test_a_spec_that_cannot_be_read_stalls_and_touches_nothing(self) -> None:
        world = await serving()
        before = world.status(KEY)
        world.cluster.edit(naming.KIND, *KEY, lambda live: live["spec"]["model"].pop("version"))
        seen = len(world.cluster.writes)
        await world.run(KEY, seconds=5)
        status = world.status(KEY)
        stalled = next(c for c in status["conditions"] if c["type"] == "Stalled")
        assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec")
        assert "spec.model.version: is required" in stalled["message"]
        assert status["stable"] == before["stable"]
        assert [write.verb for write in world.cluster.writes[seen:]] == ["status"], "said once"

    async def test_it_goes_on_when_the_spec_is_good_again(self) -> None:
        world = await serving()
        world.cluster.edit(naming.KIND, *KEY, lambda live: live["spec"]["model"].pop("version"))
        await world.run(KEY, seconds=2)
        release_version(world, "1")
        await world.run(KEY, seconds=5)
        status = world.status(KEY)
        assert next(c for c in status["conditions"] if c["type"] == "Stalled")["status"] == "False"
        assert status["phase"] == "Ready"

    async def test_a_status_of_another_version_is_kept(self) -> None:
        world = await serving()

        def newer(live: Manifest) -> None:
            live["status"]["stable"]["since"] = "soon"

        world.cluster.edit(naming.KIND, *KEY, newer)
        await world.run(KEY, seconds=2)
        status = world.status(KEY)
        assert status["stable"]["since"] == "soon"
        assert next(c for c in status["conditions"] if c["type"] == "Stalled")["reason"] == "InvalidStatus"


@pytest.mark.deep
class TestTrouble:
    """Each write of a whole release in turn; Events are the only thing that may be missing afterwards."""

    @pytest.mark.parametrize(
        "fault",
        [faults.conflict(), faults.too_many_requests(), faults.unavailable(), faults.unavailable(after=True)],
        ids=["409", "429", "500", "lost-answer"],
    )
    async def test_any_write_of_the_first_release_may_fail_once(self, fault: faults.Fault) -> None:
        expected = await self._first(None, fault)
        for number in range(expected.cluster.faults.writes_seen):
            world = await self._first(number, fault)
            assert self._summary(world) == self._summary(expected), f"write {number}"

    @pytest.mark.deep
    async def test_any_answer_of_a_whole_rollout_may_be_lost(self) -> None:
        before = await serving()
        first = before.cluster.faults.writes_seen
        expected = await self._second(before, None)
        for number in range(first, expected.cluster.faults.writes_seen):
            world = await self._second(before, number)
            assert self._summary(world) == self._summary(expected), f"write {number}"

    @staticmethod
    async def _first(number: int | None, fault: faults.Fault) -> World:
        world = World()
        if number is not None:
            world.cluster.faults.writes[number] = fault
        world.cluster.create(release())
        await world.run(KEY, seconds=5)
        return world

    @staticmethod
    async def _second(before: World, number: int | None) -> World:
        world = World(cluster=copy.deepcopy(before.cluster))
        await world.restart()
        if number is not None:
            world.cluster.faults.writes[number] = faults.unavailable(after=True)
        release_version(world, "2")
        await world.run(KEY, seconds=160, step=10)
        return world

    @staticmethod
    def _summary(world: World) -> dict[str, Any]:
        status = world.status(KEY)
        return {
            "names": sorted(ident for ident in world.cluster.objects if ident[0] not in ("Event", "Pod")),
            "phase": status["phase"],
            "stable": status["stable"]["version"],
            "weights": weights(world.cluster.at("HTTPRoute", NAMESPACE, NAME)),
            "slots": [selected(world, slot) for slot in Slot],
        }


async def test_a_retry_after_a_damaged_artifact_builds_it_again_and_starts_new_pods() -> None:
    world = await serving()
    release_version(world, "2")
    while (world.status(KEY).get("candidate") or {}).get("stage") != "Deploy":
        await world.reconcile(KEY)
        for job in world.cluster.all("Job"):
            if not job.get("status"):
                controllers.finish_job(world.cluster, NAMESPACE, job["metadata"]["name"])
    await world.reconcile(KEY)
    revision = world.status(KEY)["candidate"]["revision"]
    name = naming.deployment(NAME, revision)
    controllers.roll(world.cluster, NAMESPACE, name, ready=0)
    controllers.refuse_artifact(world.cluster, NAMESPACE, name)
    await world.reconcile(KEY)
    rejected = world.status(KEY)["rejected"]
    assert rejected["reason"] == "ArtifactCorrupt"
    damaged, jobs = world.cluster.at("Deployment", NAMESPACE, name), len(world.cluster.all("Job"))
    record = world.cluster.at("ControllerRevision", NAMESPACE, name)
    value = format_command(revision=revision, attempt=rejected["attempt"], step=None, token="t")
    world.cluster.edit(
        naming.KIND, *KEY, lambda live: live["metadata"].update(annotations={annotation(Verb.RETRY): value})
    )
    await world.run(KEY, seconds=150)
    assert world.status(KEY)["stable"]["revision"] == revision
    assert len(world.cluster.all("Job")) == jobs + 1
    assert world.cluster.at("Deployment", NAMESPACE, name)["metadata"]["uid"] != damaged["metadata"]["uid"]
    assert world.cluster.at("ControllerRevision", NAMESPACE, name) == record
