"""What is looked at, and what is asked of others only when a decision depends on it."""

from __future__ import annotations

from datetime import timedelta

from modelrelease.adapters import errors
from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming
from modelrelease.domain.observed import GatewayFacts, JobState, Observed, Protocol, Slot, Unknown
from modelrelease.domain.problem import Problem

from tests.fakes import controllers, faults
from tests.fakes.samples import NAME, NAMESPACE, release, set_version
from tests.fakes.world import World

KEY = (NAMESPACE, NAME)


async def serving() -> World:
    world = World()
    world.cluster.create(release())
    await world.run(KEY, seconds=10)
    return world


async def observe(world: World, *, write_problem: Problem | None = None) -> Observed:
    world.deliver()
    live = world.store.release(KEY)
    assert live is not None
    observer = world.reconciler.observer
    return await observer.observe(live, now=world.cluster.now, checked=None, write_problem=write_problem)


async def test_everything_of_a_release_at_rest() -> None:
    world = await serving()
    observed = await observe(world)
    assert (observed.meta.name, observed.meta.namespace) == KEY[::-1]
    assert observed.meta.resource_version == world.cluster.at(naming.KIND, *KEY)["metadata"]["resourceVersion"]
    assert observed.status.stable is not None
    rev = observed.status.stable.revision
    assert set(observed.records) == set(observed.deployments) == {rev}
    assert observed.deployments[rev].settled
    assert [(job.state, job.attempt) for job in observed.jobs] == [(JobState.SUCCEEDED, 1)]
    assert {slot: facts.ready for slot, facts in observed.slots.items()} == {slot: {rev: 2} for slot in Slot}
    assert {protocol: facts.accepted for protocol, facts in observed.routes.items()} == dict.fromkeys(Protocol, True)
    assert (observed.probe, observed.evidence) == (None, None)
    assert isinstance(observed.gateway, Unknown)


async def test_another_releases_children_are_not_its_own() -> None:
    world = await serving()
    world.cluster.create(release(name="letters"))
    await world.run((NAMESPACE, "letters"), seconds=10)
    assert len((await observe(world)).deployments) == 1


async def test_the_refused_write_is_part_of_it() -> None:
    world = await serving()
    problem = Problem(reason="QuotaExceeded", message="m")
    assert (await observe(world, write_problem=problem)).write_problem == problem


async def test_triton_and_the_gateway_are_asked_once_the_pods_are_up() -> None:
    world = World()
    world.cluster.create(release())
    await world.reconcile(KEY)
    assert world.outside.questions == []
    controllers.settle(world.cluster)
    await world.reconcile(KEY)
    assert world.outside.questions == [], "pods are being made"
    controllers.settle(world.cluster)
    observed = await observe(world)
    assert world.outside.questions == [f"probe {naming.revision(observed.spec)}"]
    assert observed.probe is not None
    assert isinstance(observed.gateway, GatewayFacts)


async def test_evidence_is_read_once_an_interval() -> None:
    world = await serving()
    world.cluster.edit(naming.KIND, *KEY, lambda live: set_version(live["spec"], "2"))
    await world.run(KEY, seconds=9)
    assert "evidence" not in world.outside.questions
    await world.run(KEY, seconds=6)
    assert world.outside.questions.count("evidence") == 1


async def test_evidence_is_read_again_where_its_verdict_was_not_written() -> None:
    world = await serving()
    world.cluster.edit(naming.KIND, *KEY, lambda live: set_version(live["spec"], "2"))
    await world.run(KEY, seconds=9)
    while "evidence" not in world.outside.questions:
        world.cluster.faults.writes[world.cluster.faults.writes_seen] = faults.unavailable()
        world.deliver()
        try:
            await world.reconciler.reconcile(KEY)
        except errors.Unavailable:
            break
        world.cluster.now += timedelta(seconds=1)
    await world.reconcile(KEY)
    assert world.outside.questions.count("evidence") == 2


class TestJobs:
    async def test_events_tell_why_a_job_has_no_pod(self) -> None:
        world = World()
        world.cluster.create(release())
        await world.reconcile(KEY)
        name = world.cluster.all("Job")[0]["metadata"]["name"]
        world.cluster.create(failed_create(name))
        assert (await observe(world)).jobs[0].problem is None, "its pod may be on the way"
        world.cluster.now += timedelta(seconds=10)
        problem = (await observe(world)).jobs[0].problem
        assert problem is not None
        assert problem.reason == "QuotaExceeded"

    async def test_it_is_looked_at_again_although_nothing_tells(self) -> None:
        world = World()
        world.cluster.create(release())
        await world.reconcile(KEY)
        assert await world.reconciler.reconcile(KEY) == world.cluster.now + timedelta(seconds=10)
        controllers.start_job(world.cluster, NAMESPACE, world.cluster.all("Job")[0]["metadata"]["name"])
        world.deliver()
        wake_at = await world.reconciler.reconcile(KEY)
        assert wake_at is None or wake_at > world.cluster.now + timedelta(minutes=1)

    async def test_events_that_cannot_be_read_are_no_obstacle(self) -> None:
        world = World()
        world.cluster.create(release())
        await world.reconcile(KEY)
        world.cluster.now += timedelta(seconds=10)
        world.cluster.faults.reads[world.cluster.faults.reads_seen] = faults.forbidden()
        assert (await observe(world)).jobs[0].problem is None


class TestRecords:
    async def test_an_unreadable_one_is_not_known_and_not_in_the_way(self) -> None:
        world = await serving()
        name = world.cluster.all("ControllerRevision")[0]["metadata"]["name"]
        world.cluster.purge("ControllerRevision", NAMESPACE, name)
        world.cluster.create(broken_record(name))
        assert (await observe(world)).records == {}
        await world.run(KEY, seconds=3)
        assert world.status(KEY)["phase"] == "Ready"

    async def test_one_in_the_place_of_a_new_revision_is_told(self) -> None:
        world = World()
        made = world.cluster.create(release())
        await world.reconcile(KEY)
        revision = naming.revision((await observe(world)).spec)
        record = broken_record(naming.deployment(NAME, revision))
        record["metadata"]["ownerReferences"] = [{"uid": made["metadata"]["uid"]}]
        world.cluster.create(record)
        await world.run(KEY, seconds=5)
        waiting = world.status(KEY)["waitingFor"]
        assert waiting["reason"] == "RecordUnreadable"
        assert "delete it" in waiting["what"]
        world.cluster.purge("ControllerRevision", NAMESPACE, record["metadata"]["name"])
        world.cluster.now += timedelta(minutes=1)
        await world.run(KEY, seconds=10)
        assert world.status(KEY)["phase"] == "Ready"


def failed_create(job: str) -> Manifest:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e1", "namespace": NAMESPACE},
        "regarding": {"kind": "Job", "name": job},
        "reason": "FailedCreate",
        "note": 'Error creating: pods "x" is forbidden: exceeded quota: team',
    }


def broken_record(name: str) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": naming.labels(NAME)},
        "data": {"revision": 5},
    }
