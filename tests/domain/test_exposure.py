"""What a candidate is exposed to, and on which evidence: shadow, planned ladders, least times, deadlines, the bake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from modelrelease.domain import analysis, codec, commands, naming
from modelrelease.domain.commands import Verb
from modelrelease.domain.decide import decide
from modelrelease.domain.needs import needs
from modelrelease.domain.observed import FLOOR_PPM, PPM, Mirror, Slot
from modelrelease.domain.plan import Remove, WantRoute
from modelrelease.domain.policy import Bake, CustomMetric, OnInconclusive, Shadow
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Candidate, Outcome, Stage, Status

from tests.domain.world import ANALYSIS, World, a_spec

FULL = Mirror(slot=Slot.PREVIEW, percent=100)


def rev(version: str) -> str:
    return naming.revision(a_spec(version))


def asked(spec: Spec, *, quality: str = "good") -> World:
    """Return a world in which version 1 serves, and version 2 was asked for."""
    world = World(spec=a_spec("1"))
    world.settle()
    world.quality[rev("2")] = quality
    world.edit(spec)
    return world


def until(world: World, done: Callable[[Status], object], *, seconds: float = 20, rounds: int = 120) -> Status:
    for _ in range(rounds):
        world.environment()
        world.reconcile()
        if done(world.status):
            return world.status
        world.advance(seconds)
    raise AssertionError(f"never came: {world.status_json}")


def candidate(status: Status) -> Candidate:
    assert status.candidate is not None
    return status.candidate


def in_stage(stage: Stage) -> Callable[[Status], bool]:
    return lambda status: status.candidate is not None and status.candidate.stage is stage


def waits(reason: str) -> Callable[[Status], bool]:
    return lambda status: status.waiting_for is not None and status.waiting_for.reason == reason


def routes(world: World) -> list[tuple[int | None, Mirror | None]]:
    return [(route.ppm, route.mirror) for route in world.routes.values()]


def told(status: Status, kind: str) -> tuple[str, str]:
    found = next(condition for condition in status.conditions if condition.type == kind)
    return found.status, found.reason


# The shadow


def test_a_full_mirror_comes_before_the_first_traffic_and_its_pass_begins_the_steps() -> None:
    world = asked(a_spec("2", shadow=Shadow(duration=3600)))
    until(world, waits("Shadow"))
    assert routes(world) == [(FLOOR_PPM, FULL)] * 2
    assert world.slots[Slot.CANDIDATE].revision == rev("1"), "the candidate answers nobody"
    began = candidate(world.status).step_started_at
    status = until(world, lambda s: candidate(s).step == 0 and candidate(s).step_started_at)
    assert began is not None and (world.now - began).total_seconds() < 3600, "it need not last"
    assert routes(world) == [(50_000, Mirror(slot=Slot.PREVIEW, percent=95))] * 2
    assert candidate(status).peak_weight == 5


def test_the_weight_begins_only_when_the_mirror_is_accepted_too() -> None:
    world = asked(a_spec("2", shadow=Shadow(duration=0)))
    until(world, lambda s: candidate(s).step == 0 and all(ppm == 50_000 for ppm, _ in routes(world)), seconds=1)
    for route in world.routes.values():
        route.accepted, route.mirror = True, None  # what is accepted is not what was asked for
    assert candidate(world.reconcile().status).step_started_at is None


def test_a_shadow_of_no_time_is_for_the_steps_alone() -> None:
    world = asked(a_spec("2", shadow=Shadow(percent=20, duration=0)))
    stages = set()
    until(world, lambda s: stages.add(candidate(s).stage) or candidate(s).step_started_at, seconds=1)
    assert Stage.SHADOW not in stages
    assert routes(world) == [(50_000, Mirror(slot=Slot.PREVIEW, percent=20))] * 2


def test_a_partial_mirror_lasts_its_time() -> None:
    world = asked(a_spec("2", shadow=Shadow(percent=50, duration=600)))
    until(world, waits("Shadow"))
    began = candidate(world.status).step_started_at
    until(world, in_stage(Stage.STEP))
    assert began is not None and (world.now - began).total_seconds() >= 600


def test_a_bad_candidate_fails_in_the_shadow_without_any_traffic() -> None:
    world = asked(a_spec("2", shadow=Shadow()), quality="bad")
    world.settle()
    last = world.status.history[0]
    assert (last.outcome, last.reason, last.peak_weight) == (Outcome.FAILED, "AnalysisFailed", 0)
    assert last.message.endswith("on copies of requests")
    assert routes(world) == [(FLOOR_PPM, None)] * 2
    assert set(world.deployments) == {rev("1")}


def test_metrics_that_fail_hold_the_shadow_however_long_it_lasts() -> None:
    world = asked(a_spec("2", shadow=Shadow(duration=120)))
    until(world, waits("Shadow"))
    world.quality[rev("2")] = "error"
    for _ in range(20):
        world.reconcile()
        world.advance(60)
    assert candidate(world.status).stage is Stage.SHADOW
    assert told(world.status, "AnalysisHealthy") == ("False", "MetricsUnavailable")


def test_a_candidate_that_can_not_take_its_copies_gets_none_for_good_and_goes_on() -> None:
    world = asked(a_spec("2", shadow=Shadow(duration=3600)))
    until(world, waits("Shadow"))
    world.saturated = True
    status = until(world, lambda s: candidate(s).step == 0 and candidate(s).step_started_at)
    assert candidate(status).mirror_stopped == "the candidate has 40 requests waiting"
    world.saturated = False
    for _ in range(10):
        world.environment()
        world.reconcile()
        world.advance(20)
        assert all(mirror is None for _, mirror in routes(world)), "it had room again, and is left alone"
    world.settle()
    assert world.status.stable is not None and world.status.stable.version == "2"


def test_a_person_who_promotes_ends_the_shadow_and_waives_the_steps() -> None:
    world = asked(a_spec("2", shadow=Shadow(percent=50, duration=3600)))
    until(world, waits("Shadow"))
    value = commands.format_command(revision=rev("2"), attempt=1, step=None, token="x")
    world.annotations[commands.annotation(Verb.PROMOTE)] = value
    until(world, in_stage(Stage.BAKE), rounds=8)
    world.settle()
    assert world.status.stable is not None and world.status.stable.version == "2"


def test_a_shadow_that_was_removed_from_the_spec_ends() -> None:
    world = asked(a_spec("2", shadow=Shadow(percent=50, duration=3600)))
    until(world, waits("Shadow"))
    world.edit(a_spec("2"))
    until(world, lambda s: candidate(s).step == 0 and candidate(s).step_started_at)
    assert routes(world) == [(50_000, None)] * 2


def test_no_copies_go_to_pods_that_somebody_put_behind_the_preview_slot() -> None:
    world = asked(a_spec("2", shadow=Shadow(percent=50, duration=3600)))
    until(world, waits("Shadow"))
    world.slots[Slot.PREVIEW] = replace(world.slots[Slot.PREVIEW], revision=rev("1"))
    wanted = [want for want in decide(world.observe(), world.now).wants if isinstance(want, WantRoute)]
    assert wanted
    assert all(want.mirror is None for want in wanted)
    world.reconcile()
    world.reconcile()
    assert routes(world) == [(FLOOR_PPM, Mirror(slot=Slot.PREVIEW, percent=50))] * 2, "and back, once it is mended"


def test_a_gateway_that_does_not_mirror_holds_before_any_traffic_and_says_so() -> None:
    for policy in ({"shadow": Shadow()}, {"bake": Bake(holdback=0, mirror=10)}):
        world = World(spec=a_spec("1"), mirrors=False)
        world.settle()
        world.edit(a_spec("2", **policy))
        status = until(world, waits("MirrorUnsupported"))
        assert candidate(status).stage is Stage.DEPLOY
        assert told(status, "RouteReady") == ("False", "MirrorUnsupported")


# The ladder


def test_a_ladder_is_planned_from_the_traffic_and_stays_as_planned() -> None:
    world = asked(a_spec("2", steps=()))
    status = until(world, lambda s: s.candidate and s.candidate.step == 0)
    ladder = candidate(status).ladder
    assert ladder[0] == 1, "ten thousand requests a second leave room for no more"
    assert list(ladder) == sorted(set(ladder))
    spec = a_spec("2", steps=())
    world.edit(replace(spec, rollout=replace(spec.rollout, scale_down_delay=5)))
    status = until(world, lambda s: candidate(s).step == 1)
    assert candidate(status).ladder == ladder
    world.settle()
    assert world.status.stable is not None and world.status.stable.version == "2"


def test_steps_written_into_a_planned_rollout_never_raise_its_weight() -> None:
    world = asked(a_spec("2", steps=()))
    until(world, lambda s: s.candidate and s.candidate.step == 1 and s.candidate.step_started_at)
    today = candidate(world.status).weight.desired
    world.edit(a_spec("2", steps=(1, 60)))
    world.reconcile()
    assert candidate(world.status).weight.desired == 1 < today
    assert candidate(world.status).ladder == (1, 60)


def test_steps_removed_from_the_spec_leave_the_ladder_as_it_was() -> None:
    world = asked(a_spec("2", steps=(5, 25)))
    until(world, lambda s: s.candidate and s.candidate.step == 0 and s.candidate.step_started_at)
    world.edit(a_spec("2", steps=()))
    world.reconcile()
    assert candidate(world.status).ladder == (5, 25)


# The time of a step


def test_a_pass_waits_for_the_least_time_of_its_step_and_no_longer() -> None:
    policy = replace(ANALYSIS, interval=15, warmup=60, min_duration=600)
    world = asked(a_spec("2", analysis=policy))
    until(world, lambda s: s.candidate and s.candidate.step_started_at, seconds=1, rounds=400)
    began = candidate(world.status).step_started_at
    status = until(world, waits("LeastTime"), seconds=15)
    assert status.waiting_for is not None and not status.waiting_for.counts
    until(world, lambda s: candidate(s).step == 1, seconds=5)
    assert began is not None
    took = (world.now - began).total_seconds()
    assert 660 <= took <= 660 + policy.interval


def test_failures_of_the_warm_up_count_against_the_candidate() -> None:
    policy = replace(ANALYSIS, interval=15, warmup=600, step_deadline=3600)
    world = asked(a_spec("2", analysis=policy), quality="bad")
    until(world, lambda s: s.candidate and s.candidate.step_started_at, seconds=1, rounds=400)
    began = world.now
    until(world, lambda s: s.history[0].version == "2", seconds=5)
    assert world.status.history[0].reason == "BudgetExceeded", "ten thousand requests a second"
    assert (world.now - began).total_seconds() < 120


def test_looks_of_a_short_step_cost_no_write_and_a_long_one_is_told_after_a_minute() -> None:
    """Evidence for a pass takes three blocks of ten seconds."""
    world = asked(a_spec("2", analysis=replace(ANALYSIS, interval=5)))
    until(world, lambda s: s.candidate and s.candidate.step_started_at, seconds=1)
    before = world.status_writes
    until(world, lambda s: candidate(s).step == 1, seconds=1)
    assert world.status_writes == before + 1
    world.quality[rev("2")] = "quiet"
    until(world, lambda s: candidate(s).step_started_at and candidate(s).verdicts, seconds=1)
    began = candidate(world.status).step_started_at
    assert began is not None
    assert 60 <= (world.now - began).total_seconds() <= 65
    assert waits("Traffic")(world.status)


@pytest.mark.parametrize("choice", list(OnInconclusive))
def test_a_step_without_a_verdict_ends_as_the_policy_says(choice: OnInconclusive) -> None:
    """Every 5 minutes a request: half an hour is too little for a verdict, and 3 requests are enough to advance on."""
    policy = replace(ANALYSIS, min_requests=3, step_deadline=1800, on_inconclusive=choice)
    world = asked(a_spec("2", analysis=policy), quality="quiet")
    until(world, lambda s: s.candidate and s.candidate.step_started_at)
    began = candidate(world.status).step_started_at
    for _ in range(36):
        world.environment()
        world.reconcile()
        world.advance(60)
    assert began is not None
    status = world.status
    if choice is OnInconclusive.HOLD:
        assert waits("Inconclusive")(status) and candidate(status).step == 0
        assert status.phase == "Holding"
    elif choice is OnInconclusive.ROLLBACK:
        world.settle()
        assert (world.status.history[0].outcome, world.status.history[0].reason) == (
            Outcome.ROLLED_BACK,
            "Inconclusive",
        )
    else:
        assert candidate(status).step == 1


def test_evidence_against_a_candidate_keeps_it_from_advancing_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = replace(ANALYSIS, min_requests=3, step_deadline=1800, on_inconclusive=OnInconclusive.ADVANCE)
    world = asked(a_spec("2", analysis=policy), quality="quiet")
    until(world, lambda s: s.candidate and s.candidate.step_started_at)
    monkeypatch.setattr(analysis, "amber", lambda state: True)
    for _ in range(36):
        world.environment()
        world.reconcile()
        world.advance(60)
    assert candidate(world.status).step == 0
    assert waits("Inconclusive")(world.status)


def test_nothing_is_read_before_there_can_be_evidence() -> None:
    world = asked(a_spec("2", analysis=replace(ANALYSIS, interval=15, warmup=60)))
    until(world, lambda s: s.candidate and s.candidate.step_started_at, seconds=1, rounds=400)
    state = candidate(world.status).analysis
    assert state is not None
    observed = replace(world.observe(), evidence=None)
    world.advance(3600)
    assert needs(observed, world.now, None).window is not None
    assert needs(observed, state.until, None).window is None


def test_no_data_advance_nobody_whatever_the_policy_says() -> None:
    policy = replace(ANALYSIS, step_deadline=600, on_inconclusive=OnInconclusive.ADVANCE)
    for quality in ("quiet", "error", "astray"):
        world = asked(a_spec("2", analysis=policy))
        until(world, lambda s: s.candidate and s.candidate.step_started_at)
        world.quality[rev("2")] = quality
        for _ in range(15):
            world.reconcile()
            world.advance(60)
        assert candidate(world.status).step == 0, quality


def test_traffic_that_is_not_split_as_commanded_holds_and_says_so() -> None:
    world = asked(a_spec("2"), quality="astray")
    status = until(world, waits("TrafficSplit"))
    assert (candidate(status).step, status.phase) == (0, "Holding")
    assert told(status, "AnalysisHealthy") == ("False", "TrafficSplit")


# The golden requests


def test_wrong_golden_answers_get_no_traffic() -> None:
    world = asked(a_spec("2"))
    world.golden[rev("2")] = "wrong"
    world.settle()
    last = world.status.history[0]
    assert (last.outcome, last.reason, last.peak_weight) == (Outcome.FAILED, "GoldenFailed", 0)
    assert "row 3: class 7 and not 1" in last.message


@pytest.mark.parametrize("stage", [Stage.STEP, Stage.BAKE])
def test_golden_answers_that_turn_wrong_roll_back(stage: Stage) -> None:
    world = asked(a_spec("2"))
    until(world, lambda s: in_stage(stage)(s) and candidate(s).weight.accepted == candidate(s).weight.desired)
    world.golden[rev("2")] = "wrong"
    world.settle()
    last = world.status.history[0]
    assert (last.outcome, last.reason) == (Outcome.ROLLED_BACK, "GoldenFailed")


def test_a_golden_set_that_stable_fails_as_well_blames_nobody() -> None:
    world = asked(a_spec("2"))
    world.golden = {rev("1"): "wrong", rev("2"): "wrong"}
    status = until(world, waits("GoldenOutdated"))
    assert candidate(status).stage is Stage.DEPLOY
    world.golden = {}
    until(world, lambda s: candidate(s).step == 0 and candidate(s).step_started_at)
    world.golden = {rev("1"): "wrong", rev("2"): "wrong"}
    status = until(world, waits("GoldenOutdated"))
    assert candidate(status).step == 0
    assert told(status, "AnalysisHealthy") == ("False", "GoldenOutdated")


def test_a_candidate_too_busy_for_its_golden_requests_gets_no_traffic_and_the_wait_says_why() -> None:
    world = asked(a_spec("2"))
    world.golden[rev("2")] = "busy"
    status = until(world, waits("Golden"))
    assert candidate(status).stage is Stage.DEPLOY
    assert status.waiting_for is not None
    assert status.waiting_for.what == "the golden requests to be answered: its queue is full"
    world.golden = {}
    until(world, lambda s: candidate(s).step == 0 and candidate(s).step_started_at)


def test_a_golden_set_that_is_absent_is_told_and_holds_nothing() -> None:
    world = asked(a_spec("2"))
    world.golden[rev("2")] = "absent"
    status = until(world, lambda s: s.candidate is not None and s.candidate.verdicts)
    golden = next(v for v in candidate(status).verdicts if v.metric == "golden")
    assert golden.advisory and "the pods carry no golden requests" in golden.message
    world.settle()
    assert world.status.history[0].outcome is Outcome.PROMOTED


# Values that are held against a threshold

QUEUE = replace(ANALYSIS, metrics=(CustomMetric(name="queue", value="q", threshold=5),))


@pytest.mark.parametrize("spike", range(0, 600, 60))
def test_a_single_look_beyond_the_threshold_sends_nothing_back(spike: int) -> None:
    world = asked(a_spec("2", analysis=QUEUE))
    began: list[datetime] = []

    def value(when: datetime) -> float:
        began.append(when)
        return 99.0 if 0 <= (when - began[0]).total_seconds() - spike < 60 else 1.0

    world.values = value
    world.settle()
    assert world.status.history[0].outcome is Outcome.PROMOTED


def test_two_looks_beyond_the_threshold_send_the_traffic_back() -> None:
    world = asked(a_spec("2", analysis=QUEUE))
    status = until(world, lambda s: s.candidate is not None and s.candidate.step == 0 and s.candidate.step_started_at)
    began = candidate(status).step_started_at
    assert began is not None
    world.values = lambda when: 99.0
    world.settle()
    last = world.status.history[0]
    assert (last.outcome, last.reason) == (Outcome.ROLLED_BACK, "AnalysisFailed")
    assert last.message.startswith("queue is 99, allowed is at most 5")


@pytest.mark.parametrize(("warmup", "compared"), [(0, [None, 60, 120, 180]), (90, [None, None, 120, 180])])
def test_a_look_is_compared_with_the_one_before_it_once_the_candidate_is_warm(
    warmup: int, compared: list[int | None]
) -> None:
    world = asked(a_spec("2", analysis=replace(ANALYSIS, warmup=warmup)))
    status = until(world, lambda s: s.candidate is not None and s.candidate.step == 0 and s.candidate.step_started_at)
    began = candidate(status).step_started_at
    assert began is not None
    observed, found = world.observe(), []
    for minute in range(1, 5):
        window = needs(observed, began + timedelta(seconds=60 * minute + 7), None).window
        assert window is not None
        found.append(window.before)
    assert found == [None if seconds is None else began + timedelta(seconds=seconds) for seconds in compared]


def test_one_look_within_the_threshold_lets_no_step_pass() -> None:
    world = asked(a_spec("2", analysis=QUEUE))

    def alternates(when: datetime) -> float:
        return 1.0 if int(when.timestamp()) // 60 % 2 else 99.0

    world.values = alternates
    status = until(world, waits("Inconclusive"), rounds=300)
    assert candidate(status).step == 0


# The bake


def test_the_bake_keeps_a_control_that_goes_before_promotion() -> None:
    world = asked(a_spec("2", bake=Bake(duration=600, holdback=3)))
    until(world, waits("Bake"))
    assert routes(world) == [(970_000, None)] * 2
    began = candidate(world.status).bake_started_at
    until(world, lambda s: s.candidate is not None and s.candidate.bake_ended_at)
    assert began is not None and (world.now - began).total_seconds() >= 600
    assert world.slots[Slot.STABLE].revision == rev("1")
    assert {route.ppm for route in world.routes.values()} == {PPM - FLOOR_PPM}
    world.settle()
    assert world.status.stable is not None and world.status.stable.version == "2"


def test_a_reverse_mirror_is_the_control_instead_and_ends_before_promotion() -> None:
    world = asked(a_spec("2", bake=Bake(duration=600, holdback=0, mirror=20)))
    until(world, waits("Bake"))
    assert routes(world) == [(PPM - FLOOR_PPM, Mirror(slot=Slot.STABLE, percent=20))] * 2
    until(world, lambda s: s.candidate is not None and s.candidate.bake_ended_at)
    assert routes(world) == [(PPM - FLOOR_PPM, None)] * 2
    world.settle()
    assert world.status.stable is not None and world.status.stable.version == "2"


def test_without_a_control_the_bake_ends_on_its_time() -> None:
    world = asked(a_spec("2", bake=Bake(duration=600, holdback=0)))
    until(world, waits("Bake"))
    world.settle()
    assert world.status.stable is not None and world.status.stable.version == "2"


@pytest.mark.parametrize("bake", [Bake(duration=3600), Bake(duration=3600, holdback=0, mirror=100)])
def test_a_fault_that_starts_in_the_bake_is_rolled_back(bake: Bake) -> None:
    world = asked(a_spec("2", bake=bake))
    until(world, waits("Bake"))
    world.quality[rev("2")] = "bad"
    world.settle()
    last = world.status.history[0]
    assert (last.outcome, last.reason) == (Outcome.ROLLED_BACK, "AnalysisFailed")
    assert world.status.stable is not None and world.status.stable.version == "1"


def test_a_bake_without_evidence_ends_not_by_its_time() -> None:
    world = asked(a_spec("2"))
    until(world, waits("Bake"))
    world.quality[rev("2")] = "quiet"
    for _ in range(10):
        world.reconcile()
        world.advance(60)
    assert candidate(world.status).stage is Stage.BAKE


def test_old_pods_stay_until_no_copies_are_made_any_more() -> None:
    world = asked(a_spec("2"))
    until(world, lambda s: s.retired)
    world.environment()
    world.advance(60)
    for route in world.routes.values():
        route.mirror = FULL  # a tool put back what it had seen once
    assert not [want for want in decide(world.observe(), world.now).wants if isinstance(want, Remove)]
    world.settle()
    assert set(world.deployments) == {rev("2")}


# What is carried


def test_nothing_is_exposed_before_the_metrics_tell_what_stable_did() -> None:
    world = asked(a_spec("2"), quality="error")
    status = until(world, waits("MetricsUnavailable"))
    assert candidate(status).stage is Stage.DEPLOY
    assert told(status, "AnalysisHealthy") == ("False", "MetricsUnavailable")
    assert {route.ppm for route in world.routes.values()} == {FLOOR_PPM}


def test_a_process_that_restarts_at_every_look_decides_the_same() -> None:
    """In the second world every look is the first of a process, and folds anew what was not written."""
    statuses = []
    for restarts in (False, True):
        world = asked(a_spec("2", shadow=Shadow(percent=50, duration=120)), quality="worse")
        seen = []
        for _ in range(80):
            world.environment()
            if restarts:
                world.checked = None
            world.reconcile()
            at = world.status.candidate
            seen.append((world.now, at and (at.stage, at.step, at.weight, at.step_started_at, at.bad_requests)))
            world.advance(30)
        statuses.append(seen)
    changes = [
        [entry for before, entry in zip([None, *seen], seen, strict=False) if before is None or before[1] != entry[1]]
        for seen in statuses
    ]
    stages = [[entry[1] and entry[1][:2] for entry in seen] for seen in statuses]
    assert stages[0] == stages[1]
    assert len(changes[0]) > 3


def test_a_candidate_of_an_operator_without_analysis_begins_its_step_anew() -> None:
    world = asked(a_spec("2"))
    until(world, lambda s: s.candidate and s.candidate.step == 0 and s.candidate.step_started_at)
    began = candidate(world.status).step_started_at
    world.status_json["candidate"].pop("analysis")
    world.advance(600)
    world.reconcile()
    now = candidate(world.status)
    assert now.step == 0 and now.analysis is not None
    assert began is not None and now.step_started_at is not None and now.step_started_at > began


def test_bad_requests_add_up_over_the_steps_however_often_the_status_is_written() -> None:
    world = asked(a_spec("2"))
    until(world, in_stage(Stage.BAKE))
    # Six blocks at each look of a step, 0.1 % of 5 % and of 25 % of a hundred thousand requests in each.
    assert candidate(world.status).bad_requests == 6 * 5 + 6 * 25


def test_what_was_written_in_the_middle_of_a_step_is_not_counted_again() -> None:
    """Twenty-five minutes at 5 %: the status is refreshed meanwhile, and each block has five failures."""
    world = asked(a_spec("2", analysis=replace(ANALYSIS, min_duration=1500)))
    until(world, lambda s: s.candidate and s.candidate.step_started_at)
    began = candidate(world.status).step_started_at
    status = until(world, lambda s: candidate(s).bad_requests > 0, seconds=60)
    state = candidate(status).analysis
    assert state is not None and began is not None
    assert state.until > began, "what was judged is in the state"
    until(world, lambda s: candidate(s).step == 1, seconds=60)
    assert candidate(world.status).bad_requests == 5 * (world.now - began).total_seconds() // 10


def test_evidence_of_another_time_is_not_judged() -> None:
    world = asked(a_spec("2"))
    until(world, lambda s: s.candidate and s.candidate.step_started_at)
    world.advance(60)
    observed = world.observe()
    assert observed.evidence is not None and observed.evidence.blocks
    earlier = replace(observed.evidence, start=observed.evidence.start - timedelta(seconds=60))
    plan = decide(replace(observed, evidence=earlier), world.now)
    assert plan.judged == ()
    assert candidate(plan.status).step == 0
    assert candidate(decide(observed, world.now).status).step == 1


def test_the_state_survives_the_status() -> None:
    world = asked(a_spec("2"))
    until(world, waits("Bake"))
    state = candidate(world.status).analysis
    assert state is not None and len(state.state) < 4096
    assert codec.decode(Status, codec.encode(world.status)).candidate == world.status.candidate
