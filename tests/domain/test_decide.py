"""One release, told step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from modelrelease.domain import commands, naming
from modelrelease.domain.commands import Verb
from modelrelease.domain.observed import FLOOR_PPM, PPM, JobState, Protocol, Slot
from modelrelease.domain.plan import WantJob
from modelrelease.domain.policy import Bake, OnDeadline, Pause, Step
from modelrelease.domain.problem import Problem
from modelrelease.domain.spec import Against, Gate, Spec
from modelrelease.domain.status import Artifact, Outcome, Stage, Status

from tests.domain.world import World, a_spec


def rev(version: str) -> str:
    return naming.revision(a_spec(version))


def released(version: str = "1") -> World:
    """A world in which one version serves."""
    world = World(spec=a_spec(version))
    world.settle()
    return world


def until(world: World, done: object, *, rounds: int = 60, seconds: float = 30) -> None:
    for _ in range(rounds):
        world.environment()
        world.reconcile()
        if done(world.status):  # type: ignore[operator]
            return
        world.advance(seconds)
    raise AssertionError(f"never came: {world.status_json}")


def at_step(world: World, step: int) -> None:
    until(world, lambda s: s.candidate and s.candidate.step == step and s.candidate.step_started_at)


def order(world: World, verb: Verb, token: str = "x") -> None:
    status = world.status
    subject = status.candidate or status.rejected
    assert subject
    value = commands.format_command(revision=subject.revision, attempt=subject.attempt, step=None, token=token)
    world.annotations[commands.annotation(verb)] = value


def test_the_first_revision_serves_without_steps() -> None:
    world = released("1")
    status = world.status
    assert status.stable and status.stable.version == "1"
    assert status.phase == "Ready"
    assert {s.revision for s in world.slots.values()} == {rev("1")}
    assert all(route.ppm == FLOOR_PPM for route in world.routes.values())
    assert [c.status for c in status.conditions if c.type in ("Ready", "Reconciling", "Stalled")] == [
        "True",
        "False",
        "False",
    ]


def test_a_good_revision_climbs_every_step_and_becomes_stable() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    seen: list[int] = []
    for _ in range(80):
        world.environment()
        world.reconcile()
        ppm = next(iter(world.routes.values())).ppm
        assert ppm is not None
        if not seen or seen[-1] != ppm:
            seen.append(ppm)
        world.advance(20)
    assert seen == [FLOOR_PPM, 50_000, 250_000, 990_000, PPM - FLOOR_PPM, FLOOR_PPM]
    assert world.status.stable and world.status.stable.version == "2"
    assert set(world.deployments) == {rev("2")}
    assert world.status.history[0].outcome is Outcome.PROMOTED


def test_at_rest_nothing_is_written_and_no_clock_runs() -> None:
    world = released("1")
    before = world.writes
    for _ in range(5):
        world.advance(600)
        assert world.reconcile().wake_at is None
    assert world.writes == before


def test_a_failing_candidate_goes_back_and_is_not_tried_again() -> None:
    world = released("1")
    world.quality[rev("2")] = "bad"
    world.edit(a_spec("2"))
    world.settle()
    status = world.status
    assert status.stable and status.stable.version == "1"
    assert status.rejected and status.rejected.reason == "AnalysisFailed"
    assert status.history[0].outcome is Outcome.ROLLED_BACK
    assert status.history[0].peak_weight == 5
    assert set(world.deployments) == {rev("1")}
    assert "30.0 % of requests failed against 0.10 % of stable's" in status.rejected.message


def test_a_failed_gate_gets_no_traffic_and_a_changed_gate_judges_anew_without_a_build() -> None:
    world = released("1")
    world.accuracy["2"] = 0.85
    world.edit(a_spec("2"))
    world.settle()
    assert world.status.rejected and world.status.rejected.reason == "GateFailed"
    assert world.status.history[0].peak_weight == 0
    jobs = set(world.jobs)
    spec = a_spec("2")
    evaluation = replace(spec.build.evaluation, gates=(Gate(metric="accuracy", threshold=0.8),))
    world.edit(replace(spec, build=replace(spec.build, evaluation=evaluation)))
    world.settle()
    assert world.status.stable and world.status.stable.version == "2"
    assert set(world.jobs) == jobs


def against_stable(version: str) -> Spec:
    spec = a_spec(version)
    gates = (Gate(metric="accuracy", max_degradation=0.01, against=Against.STABLE),)
    return replace(spec, build=replace(spec.build, evaluation=replace(spec.build.evaluation, gates=gates)))


def test_a_build_is_measured_beside_what_will_be_stable_when_its_gates_are_judged() -> None:
    world = released("1")
    first = world.records[rev("1")].result.artifact

    def asked_to_compare(spec: Spec) -> list[Artifact | None]:
        world.edit(spec)
        wants = [want for _ in range(3) for want in world.reconcile().wants if isinstance(want, WantJob)]
        return [want.stable for want in wants[:1]]

    assert asked_to_compare(a_spec("2")) == [None]  # no gate asks for it
    assert asked_to_compare(against_stable("2")) == [first]
    until(world, lambda s: s.candidate and s.candidate.bake_started_at)
    second = world.records[rev("2")].result.artifact
    assert asked_to_compare(against_stable("3")) == [second]


def test_a_revert_builds_nothing() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    world.settle()
    jobs = dict(world.jobs)
    world.edit(a_spec("1"))
    world.settle()
    assert world.status.stable and world.status.stable.version == "1"
    assert world.jobs == jobs


def test_a_newer_revision_replaces_the_candidate_after_its_traffic_went_back() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    at_step(world, 1)
    world.edit(a_spec("3"))
    world.settle()
    assert world.status.stable and world.status.stable.version == "3"
    assert [entry.outcome for entry in world.status.history][:2] == [Outcome.PROMOTED, Outcome.SUPERSEDED]
    assert world.status.rejected is None


def test_the_build_of_a_replaced_candidate_is_stopped() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    world.reconcile()
    assert [job.state for job in world.jobs.values()].count(JobState.ACTIVE) == 1
    world.edit(a_spec("1"))
    world.reconcile()
    world.reconcile()
    assert not any(job.state is JobState.ACTIVE for job in world.jobs.values())


def test_a_pass_that_moves_nothing_is_written_at_most_every_five_minutes() -> None:
    world = released("1")
    spec = a_spec("2")
    world.edit(replace(spec, rollout=replace(spec.rollout, bake=Bake(duration=3600))))
    until(world, lambda s: s.candidate and s.candidate.bake_started_at)
    before = world.status_writes
    for _ in range(40):  # twenty minutes
        world.environment()
        world.reconcile()
        world.advance(30)
    assert 3 <= world.status_writes - before <= 4
    assert world.status.candidate and world.status.candidate.verdicts


def test_during_the_bake_the_next_revision_is_built_but_waits() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    until(world, lambda s: s.candidate and s.candidate.bake_started_at)
    world.edit(a_spec("3"))
    world.environment()
    world.reconcile()
    world.environment()
    world.reconcile()
    assert world.status.candidate and world.status.candidate.revision == rev("2")
    assert rev("3") in world.records
    world.settle()
    assert world.status.stable and world.status.stable.version == "3"


def test_abort_in_the_bake_returns_to_the_old_version_in_one_route_write() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    until(world, lambda s: s.candidate and s.candidate.bake_started_at)
    order(world, Verb.ABORT)
    world.reconcile()
    assert all(route.ppm == FLOOR_PPM for route in world.routes.values())
    world.settle()
    assert world.status.stable and world.status.stable.version == "1"
    assert world.status.history[0].outcome is Outcome.ABORTED


def test_promote_skips_the_remaining_steps_and_then_ends_the_bake() -> None:
    world = released("1")
    world.quality[rev("2")] = "quiet"
    world.edit(a_spec("2"))
    at_step(world, 0)
    order(world, Verb.PROMOTE, "one")
    until(world, lambda s: s.candidate and s.candidate.bake_started_at)
    order(world, Verb.PROMOTE, "two")
    until(world, lambda s: s.stable and s.stable.version == "2", rounds=3)


def test_a_promotion_meant_for_a_step_does_not_end_the_bake() -> None:
    """It was written while the last step ran, and seen only after the move to the bake."""
    world = released("1")
    world.edit(a_spec("2"))
    at_step(world, 1)
    candidate = world.status.candidate
    assert candidate
    late = commands.format_command(revision=candidate.revision, attempt=candidate.attempt, step=1, token="x")
    until(world, lambda s: s.candidate and s.candidate.bake_started_at)
    world.annotations[commands.annotation(Verb.PROMOTE)] = late
    world.reconcile()
    assert world.status.candidate and world.status.candidate.stage is Stage.BAKE


def test_a_command_is_obeyed_once_however_often_it_is_seen() -> None:
    world = released("1")
    world.quality[rev("2")] = "bad"
    world.edit(a_spec("2"))
    world.settle()
    order(world, Verb.RETRY)
    world.settle()
    attempts = [entry.attempt for entry in world.status.history if entry.revision == rev("2")]
    assert attempts == [2, 1]
    world.settle()
    assert len([entry for entry in world.status.history if entry.revision == rev("2")]) == 2


@pytest.mark.deep
def test_no_evidence_holds_and_neither_promotes_nor_rolls_back() -> None:
    for quality in ("quiet", "error"):
        world = released("1")
        world.edit(a_spec("2"))
        at_step(world, 0)
        world.quality[rev("2")] = quality
        for _ in range(40):
            world.environment()
            world.reconcile()
            world.advance(240)
        candidate = world.status.candidate
        assert candidate and candidate.step == 0
        stalled = next(c for c in world.status.conditions if c.type == "Stalled")
        assert (stalled.status, stalled.reason) == ("True", "ProgressDeadlineExceeded")
        world.quality[rev("2")] = "good"
        world.settle()
        assert world.status.stable and world.status.stable.version == "2"


@pytest.mark.deep
def test_the_deadline_rolls_back_where_the_spec_says_so() -> None:
    world = released("1")
    world.quality[rev("2")] = "quiet"
    world.edit(a_spec("2", on_deadline=OnDeadline.ROLLBACK))
    world.settle(rounds=400)
    assert world.status.history[0].reason == "ProgressDeadlineExceeded"
    assert world.status.stable and world.status.stable.version == "1"


def test_a_candidate_without_endpoints_loses_its_traffic_at_once() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    at_step(world, 1)
    world.kill_pods(rev("2"))
    world.reconcile()
    assert all(route.ppm == FLOOR_PPM for route in world.routes.values())
    assert world.status.candidate and world.status.candidate.end
    assert world.status.candidate.end.reason == "CandidateUnavailable"


@pytest.mark.deep
def test_approval_is_waited_for_and_the_deadline_does_not_count() -> None:
    world = released("1")
    spec = a_spec("2")
    steps = (Step(weight=5, pause=Pause(until_approved=True)), Step(weight=25))
    world.edit(replace(spec, rollout=replace(spec.rollout, steps=steps)))
    at_step(world, 0)
    for _ in range(300):
        world.environment()
        world.reconcile()
        world.advance(30)
    assert world.status.phase == "Paused"
    assert world.status.waiting_for and world.status.waiting_for.reason == "Approval"
    order(world, Verb.APPROVE)
    world.reconcile()
    assert world.status.candidate and world.status.candidate.step == 1


def test_suspend_stops_progress_but_never_a_rollback() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    at_step(world, 0)
    world.edit(replace(a_spec("2"), suspend=True))
    for _ in range(20):
        world.environment()
        world.reconcile()
        world.advance(30)
    assert world.status.candidate and world.status.candidate.step == 0
    world.quality[rev("2")] = "bad"
    world.settle()
    assert world.status.history[0].outcome is Outcome.ROLLED_BACK


@pytest.mark.parametrize(
    ("steps", "weight"),
    [((5, 10, 50), 10), ((30, 60), 25), ((1, 2), 2), ((25, 60), 25)],
    ids=["down to a lower step", "none at or below", "far down", "same weight"],
)
def test_an_edit_of_the_steps_never_raises_the_weight(steps: tuple[int, ...], weight: int) -> None:
    world = released("1")
    world.edit(a_spec("2", steps=(5, 25, 50)))
    at_step(world, 1)
    world.edit(a_spec("2", steps=steps))
    world.environment()
    world.reconcile()
    candidate = world.status.candidate
    assert candidate and candidate.weight.desired == weight
    assert candidate.verdicts == ()
    world.settle()
    assert world.status.stable and world.status.stable.version == "2"


def test_a_lost_status_is_adopted_and_nothing_is_built_again() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    at_step(world, 1)
    jobs = set(world.jobs)
    world.status_json = {}
    world.settle()
    assert world.status.stable and world.status.stable.version == "2"
    assert set(world.jobs) == jobs


def test_an_unknown_gateway_holds_the_candidate_without_traffic() -> None:
    world = released("1")
    world.tells_apart = False
    world.edit(a_spec("2"))
    for _ in range(20):
        world.environment()
        world.reconcile()
        world.advance(30)
    assert world.status.candidate and world.status.candidate.stage is Stage.DEPLOY
    route_ready = next(c for c in world.status.conditions if c.type == "RouteReady")
    assert (route_ready.status, route_ready.reason) == ("False", "ArmsIndistinguishable")
    world.tells_apart = True
    world.settle()
    assert world.status.stable and world.status.stable.version == "2"


def test_an_edited_weight_is_put_back() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    at_step(world, 0)
    for route in world.routes.values():
        route.ppm, route.accepted = 900_000, False
        route.rv += 1000
    world.environment()
    world.reconcile()
    assert all(route.ppm == 50_000 for route in world.routes.values())


def test_an_edited_stable_slot_is_put_back_at_once() -> None:
    world = released("1")
    world.edit(a_spec("2"))
    at_step(world, 0)
    world.drifted = True
    world.slots[Slot.STABLE] = replace(world.slots[Slot.STABLE], revision=rev("2"))
    world.fill_endpoints()
    world.reconcile()
    assert world.slots[Slot.STABLE].revision == rev("1")


def test_a_protocol_that_the_spec_drops_loses_its_route() -> None:
    world = released("1")
    spec = a_spec("1")
    gateway = replace(spec.traffic.gateway, grpc=None)
    world.edit(replace(spec, traffic=replace(spec.traffic, gateway=gateway)))
    world.settle()
    assert set(world.routes) == {Protocol.HTTP}


def test_the_status_of_a_fresh_object_has_a_ready_condition() -> None:
    world = World(spec=a_spec("1"))
    world.reconcile()
    ready = next(c for c in world.status.conditions if c.type == "Ready")
    assert ready.status == "False"
    assert world.status.observed_generation == 1
    assert isinstance(world.status, Status)


def test_a_gateway_that_is_absent_is_looked_for_again_while_stable_has_no_route() -> None:
    world = released("1")
    world.routes.clear()
    world.gateway_problem = Problem(reason="GatewayNotFound", message="there is no Gateway")
    wake_at = world.reconcile().wake_at
    assert wake_at is not None and (wake_at - world.now).total_seconds() <= 5, "no event tells that it came"
    world.gateway_problem = None
    world.settle()
    assert set(world.routes) == set(Protocol)
    assert world.reconcile().wake_at is None
