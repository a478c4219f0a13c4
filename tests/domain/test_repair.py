"""`retry` after the store lost or spoilt an artifact builds it again; after anything else it builds nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from modelrelease.domain import naming
from modelrelease.domain.commands import Verb
from modelrelease.domain.observed import JobState, Slot, SlotFacts
from modelrelease.domain.plan import Remove
from modelrelease.domain.problem import Problem
from modelrelease.domain.repair import DAMAGED, damaged
from modelrelease.domain.status import HistoryEntry, Outcome, Stage, Status

from tests.domain.test_decide import order, released, rev, until
from tests.domain.world import START, World, a_spec

KEY = naming.artifact_key(a_spec("2"))


def builds(world: World, key: str = KEY) -> list[int]:
    return sorted(job.attempt for job in world.jobs.values() if job.artifact_key == key)


def spoilt(*, stable: bool = True) -> World:
    """A world in which version 2 was built, and its pods could not start from what is in the store."""
    world = released("1") if stable else World(spec=a_spec("2"))
    world.edit(a_spec("2"))
    until(world, lambda status: status.candidate and status.candidate.stage is Stage.DEPLOY)
    world.damaged.add(KEY)
    world.pods.clear()
    until(world, lambda status: status.rejected)
    assert world.status.rejected and world.status.rejected.reason == "ArtifactCorrupt"
    assert builds(world) == [1]
    return world


@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize("later", [0, 3600])
def test_a_retry_builds_again_and_the_release_goes_on(stable: bool, later: int) -> None:
    world = spoilt(stable=stable)
    world.advance(later)
    order(world, Verb.RETRY)
    world.settle()
    assert world.status.stable and world.status.stable.revision == rev("2")
    assert builds(world) == [1, 2]
    assert not world.damaged
    assert set(world.deployments) == {rev("2")}


def test_a_first_release_that_failed_leaves_no_pods_and_nobody_looks_at_it_again() -> None:
    world = spoilt(stable=False)
    assert world.slots[Slot.PREVIEW].revision == rev("2")
    world.settle()
    assert not world.deployments
    assert world.reconcile().wake_at is None


def test_before_the_retry_nothing_is_built_and_the_cure_is_named() -> None:
    world = spoilt()
    world.settle()
    assert builds(world) == [1]
    stalled = next(condition for condition in world.status.conditions if condition.type == "Stalled")
    assert stalled.message.endswith("run `modelrelease retry` to build the artifact again")


def test_while_it_is_built_again_the_status_says_so() -> None:
    world = spoilt()
    order(world, Verb.RETRY)
    world.reconcile()
    assert (
        world.status.waiting_for and "builds again what the store has lost or spoilt" in world.status.waiting_for.what
    )
    built = next(condition for condition in world.status.conditions if condition.type == "BuildSucceeded")
    assert (built.status, built.reason) == ("Unknown", "Building")


@pytest.mark.parametrize("crash", range(8))
def test_a_crash_anywhere_on_the_way_builds_no_third_time(crash: int) -> None:
    world = spoilt()
    order(world, Verb.RETRY)
    for _ in range(40):
        world.reconcile(crash_after=crash)
        world.environment()
        world.advance(5)
    world.settle()
    assert world.status.stable and world.status.stable.revision == rev("2")
    assert builds(world) == [1, 2]


def test_an_artifact_that_is_spoilt_again_is_built_again() -> None:
    world = spoilt()
    order(world, Verb.RETRY, "first")
    until(world, lambda status: status.candidate and status.candidate.stage is Stage.DEPLOY)
    world.damaged.add(KEY)
    world.pods.pop(rev("2"), None)
    until(world, lambda status: status.rejected)
    order(world, Verb.RETRY, "second")
    world.settle()
    assert world.status.stable and world.status.stable.revision == rev("2")
    assert builds(world) == [1, 2, 3]


def test_an_earlier_build_does_not_count_for_a_rebuild_after_the_status_was_lost() -> None:
    world = spoilt()
    order(world, Verb.RETRY, "first")
    until(world, lambda status: status.candidate and status.candidate.stage is Stage.DEPLOY)
    world.damaged.add(KEY)
    world.pods.pop(rev("2"), None)
    world.status_json = {}
    until(world, lambda status: status.rejected)
    assert world.status.rejected and world.status.rejected.attempt == 1
    order(world, Verb.RETRY, "second")
    world.settle()
    assert world.status.stable and world.status.stable.revision == rev("2")
    assert builds(world) == [1, 2, 3]


def test_pods_that_a_slot_of_the_route_selects_are_not_taken_away() -> None:
    """Somebody pointed the candidate's slot at them: it is put back before they go."""
    world = spoilt()
    order(world, Verb.RETRY)
    world.drifted = True
    world.slots[Slot.CANDIDATE] = replace(world.slots[Slot.CANDIDATE], revision=rev("2"))
    wants = world.reconcile().wants
    assert not any(isinstance(want, Remove) and want.kind == "Deployment" for want in wants)
    world.settle()
    assert world.status.stable and world.status.stable.revision == rev("2")


def test_pods_that_may_serve_stay_where_nobody_knows_what_is_stable() -> None:
    """The status and the record were lost, and the stable slot leads to these pods."""
    world = spoilt(stable=False)
    del world.records[rev("2")]
    world.slots[Slot.STABLE] = SlotFacts(revision=rev("2"), resource_version="1", ready={rev("2"): 1})
    order(world, Verb.RETRY)
    for _ in range(4):
        wants = world.reconcile().wants
        assert not any(isinstance(want, Remove) and want.kind == "Deployment" for want in wants)
        world.finish_jobs()
    assert world.status.candidate is None or world.status.candidate.stage is not Stage.BUILD


def test_a_rebuild_that_fails_is_tried_again_by_the_next_retry() -> None:
    world = spoilt()
    order(world, Verb.RETRY, "first")
    world.reconcile()
    world.fail_jobs()
    world.reconcile()
    world.settle()
    assert world.status.rejected and world.status.rejected.reason == "OutOfMemory"
    order(world, Verb.RETRY, "second")
    world.settle()
    assert world.status.stable and world.status.stable.revision == rev("2")
    assert builds(world) == [1, 2, 3]


@pytest.mark.parametrize("change", [{"digest": "sha256:other"}, {"uri": "file:///artifacts/elsewhere"}])
def test_a_rebuild_that_is_another_artifact_ends_with_a_sentence(change: dict[str, str]) -> None:
    world = spoilt()
    order(world, Verb.RETRY)
    world.reconcile()
    world.finish_jobs()
    name, job = next((name, job) for name, job in world.jobs.items() if (job.artifact_key, job.attempt) == (KEY, 2))
    assert job.result
    other = replace(job.result, artifact=replace(job.result.artifact, **change))
    world.jobs[name] = replace(job, result=other)
    world.settle()
    rejected = world.status.rejected
    assert rejected and rejected.reason == "ArtifactDiffers"
    assert next(iter(change.values())) in rejected.message
    assert f"delete the ControllerRevision digits-{rev('2')}" in rejected.message
    assert world.status.stable and world.status.stable.revision == rev("1")


def test_without_its_record_another_artifact_is_taken() -> None:
    """What the sentence above tells a person to do."""
    world = spoilt()
    world.settle()
    del world.records[rev("2")]
    order(world, Verb.RETRY)
    world.settle()
    assert world.status.stable and world.status.stable.revision == rev("2")
    assert rev("2") in world.records


def test_a_retry_after_anything_else_builds_nothing() -> None:
    world = released("1")
    world.quality[rev("2")] = "bad"
    world.edit(a_spec("2"))
    world.settle()
    assert world.status.rejected and world.status.rejected.reason == "AnalysisFailed"
    world.quality.clear()
    order(world, Verb.RETRY)
    world.settle()
    assert world.status.stable and world.status.stable.revision == rev("2")
    assert builds(world) == [1]


def test_a_build_without_a_store_builds_on_as_ever() -> None:
    """No bucket: there is no record either, and the next try is an ordinary build."""
    world = released("1")
    world.edit(a_spec("2"))
    world.reconcile()
    problem = Problem(reason="ArtifactMissing", message="there is no bucket: create it", fatal=True)
    world.jobs = {
        name: replace(job, state=JobState.FAILED, problem=problem) if job.artifact_key == KEY else job
        for name, job in world.jobs.items()
    }
    world.settle()
    assert world.status.rejected and world.status.rejected.reason == "ArtifactMissing"
    order(world, Verb.RETRY)
    world.settle()
    assert world.status.stable and world.status.stable.revision == rev("2")
    assert builds(world) == [1, 2]


def entry(reason: str, *, outcome: Outcome = Outcome.FAILED, peak: int = 0, revision: str = "r") -> HistoryEntry:
    return HistoryEntry(
        version="1",
        revision=revision,
        attempt=1,
        outcome=outcome,
        reason=reason,
        message="so it was",
        started_at=START,
        finished_at=START,
        peak_weight=peak,
        bad_requests=0,
    )


@pytest.mark.parametrize("reason", sorted(DAMAGED))
@pytest.mark.parametrize(
    ("later", "still"),
    [
        (lambda: (), True),
        (lambda: (entry("Aborted", outcome=Outcome.ABORTED),), True),
        (lambda: (entry("BuildFailed"),), True),
        (lambda: (entry("Promoted", outcome=Outcome.PROMOTED, peak=100, revision="another"),), True),
        (lambda: (entry("Promoted", outcome=Outcome.PROMOTED, peak=100),), False),
        (lambda: (entry("AnalysisFailed", outcome=Outcome.ROLLED_BACK, peak=5),), False),
        (lambda: (entry("Aborted", outcome=Outcome.ABORTED, peak=5),), False),
        (lambda: (entry("GateFailed"),), False),
    ],
)
def test_what_came_after_tells_whether_the_damage_stands(
    reason: str, later: Callable[[], tuple[HistoryEntry, ...]], still: bool
) -> None:
    assert damaged(Status(history=(*later(), entry(reason))), "r") is still
    assert damaged(Status(history=later()), "r") is False
