"""Whole releases offline: how they end, that it is the operator's own decisions, and that the seed alone is chance."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from modelrelease.domain.decide import decide
from modelrelease.domain.observed import PPM, Mirror, Observed, Slot
from modelrelease.domain.plan import Plan
from modelrelease.domain.policy import Bake, CustomMetric, Pause, Rollout, Shadow, Step
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import VerdictValue
from modelrelease.simulate import world
from modelrelease.simulate.increments import Increments
from modelrelease.simulate.play import Ending, Player, Run
from modelrelease.simulate.scenario import Fault, Scenario
from modelrelease.simulate.serving import Serving, shares
from modelrelease.simulate.simulation import Simulation, fitted
from modelrelease.simulate.table import read_table
from modelrelease.simulate.tape import Tape, Version, of_traffic
from modelrelease.simulate.traffic import increments

from tests.simulate.releases import BAD, SHORT, a_spec

pytestmark = pytest.mark.deep


def a_tape(scenario: Scenario, seed: int = 1) -> Tape:
    return of_traffic(increments(scenario, seed=seed), 0)


def play(scenario: Scenario, spec: Spec | None = None, *, seed: int = 1) -> Run:
    return Simulation(spec=spec or a_spec(), tape=a_tape(scenario), seed=seed).run()


def test_a_healthy_candidate_climbs_the_ladder_and_is_promoted() -> None:
    run = play(SHORT)
    assert run.ending is Ending.PROMOTED
    assert [weight for _, weight in run.weights] == [5, 10, 25, 50, 99, 100]
    assert run.promoted_at == run.weights[-2][0] == run.decided_at
    times = [t for t, _ in run.weights]
    assert all(later - sooner >= 120 for sooner, later in pairwise(times)), "warm-up and minimum"
    for look in run.looks:
        assert {v.verdict for v in look.verdicts if not v.advisory} == {VerdictValue.PASS} or look.weight == 99
    assert run.metric is None


def test_a_bad_candidate_is_rolled_back_at_a_low_weight() -> None:
    run = play(BAD)
    assert (run.ending, run.metric) == (Ending.ROLLED_BACK, "error-ratio")
    assert [weight for _, weight in run.weights] == [5, 0]
    assert run.decided_at == run.weights[-1][0] <= 300
    assert run.promoted_at is None
    assert 0 < run.bad_requests_served < run.candidate_requests
    share = run.candidate_requests / (200 * run.decided_at)
    assert share == pytest.approx(0.05, rel=0.1)


def test_too_little_traffic_is_held_and_says_what_it_waits_for() -> None:
    run = play(Scenario(requests_per_second=1, duration=1200))
    assert (run.ending, run.decided_at, run.promoted_at) == (Ending.HELD, None, None)
    assert run.metric == "error-ratio"
    assert "evidence" in run.message


def test_a_fault_that_waits_for_the_bake_is_rolled_back_from_there() -> None:
    late = replace(SHORT, fault=Fault(size=0.2, after_weight=100, onset=60))
    run = play(late, a_spec(steps=(Step(weight=50),)))
    assert run.ending is Ending.ROLLED_BACK
    assert run.promoted_at is not None
    assert run.decided_at is not None
    assert 60 < run.decided_at - run.promoted_at < 300
    assert [weight for _, weight in run.weights] == [50, 99, 0]


def test_a_shadow_comes_before_any_request_is_answered() -> None:
    run = play(BAD, a_spec(shadow=Shadow()))
    assert (run.ending, run.candidate_requests, run.weights) == (Ending.ROLLED_BACK, 0, ((0.0, 0.0),))
    assert run.decided_at is not None


def test_traffic_that_ends_in_the_bake_is_a_promotion() -> None:
    run = play(replace(SHORT, duration=2000), a_spec(steps=(Step(weight=50),), bake=Bake(duration=7200)))
    assert run.ending is Ending.PROMOTED
    assert run.promoted_at is not None
    assert run.ended_at == pytest.approx(2000, abs=15)


def test_the_seed_alone_is_chance() -> None:
    assert play(BAD, seed=3) == play(BAD, seed=3)
    simulation = Simulation(spec=a_spec(), scenario=BAD, seed=3)
    assert simulation.run(5) == simulation.run(5)
    assert simulation.run(5) != simulation.run(6)


def test_many_runs_are_the_single_ones_in_order() -> None:
    simulation = Simulation(spec=a_spec(), scenario=replace(BAD, duration=300, history=600), seed=3)
    assert list(simulation.runs(5)) == [simulation.run(index) for index in range(5)]


def test_it_is_decide_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Observed, object, Plan]] = []

    def spied(observed: Observed, now: object) -> Plan:
        plan = decide(observed, now)  # type: ignore[arg-type]
        asked.append((observed, now, plan))
        return plan

    monkeypatch.setattr(world, "decide", spied)
    serving = Serving(tape=a_tape(BAD), rng=np.random.default_rng(1))
    spec, _ = fitted(a_spec(), scored_tape=False)
    run = Player(spec=spec, serving=serving, source=Increments(serving=serving)).play()
    last = asked[-1][2].status.history[0]
    assert (run.reason, run.message) == (last.reason, last.message)
    judged = [observed for observed, _, _ in asked if observed.evidence is not None and observed.evidence.blocks]
    assert judged, "decide saw evidence"
    for observed, now, plan in asked:
        assert decide(observed, now) == plan  # type: ignore[arg-type]


def test_weights_change_what_is_counted_and_copies_count_as_shadow() -> None:
    serving = Serving(tape=a_tape(replace(SHORT, history=0, duration=3600)), rng=np.random.default_rng(2))
    serving.change(shares(since=0, candidate_ppm=250_000, mirror=Mirror(slot=Slot.PREVIEW, percent=50)))
    serving.change(shares(since=1200, candidate_ppm=PPM - 1, mirror=Mirror(slot=Slot.STABLE, percent=10)))
    serving.serve(3600)

    def rate(version: Version, since: float, until: float) -> float:
        return sum(row.requests for row in serving.counted[version] if since < row.t <= until) / (until - since)

    early, late = (0, 1200), (1200, 3600)
    assert rate(Version.STABLE, *early) == pytest.approx(150, rel=0.03)
    assert rate(Version.CANDIDATE, *early) == pytest.approx(50, rel=0.03)
    assert rate(Version.SHADOW, *early) == pytest.approx(100, rel=0.03)
    assert rate(Version.STABLE, *late) == pytest.approx(20, rel=0.03)
    assert rate(Version.CANDIDATE, *late) == pytest.approx(200, rel=0.03)
    assert rate(Version.SHADOW, *late) == 0


def test_a_weight_that_changes_within_an_interval_counts_for_its_part() -> None:
    tape = a_tape(replace(SHORT, history=0, duration=60, requests_per_second=10_000))
    serving = Serving(tape=tape, rng=np.random.default_rng(2))
    serving.change(shares(since=5, candidate_ppm=PPM, mirror=None))
    serving.serve(60)
    whole = tape.rows[Version.CANDIDATE]
    kept = [row.requests / full.requests for row, full in zip(serving.counted[Version.CANDIDATE], whole, strict=True)]
    assert kept == pytest.approx([2 / 3, 1, 1, 1], abs=0.01)


def test_all_that_is_known_of_a_request_is_kept_or_not() -> None:
    names = "le_50,le_inf,score_sum,score_count,pairs,worse,better,class_a,class_b,routed"
    row = "100,10,80,100,25,100,100,10,20,60,30,120"
    lines = "".join(f"{t},{arm},{row}\n" for t in range(15, 1515, 15) for arm in ("stable", "candidate"))
    serving = Serving(tape=read_table(f"t,arm,requests,failures,{names}\n{lines}"), rng=np.random.default_rng(4))
    serving.change(shares(since=0, candidate_ppm=300_000, mirror=None))
    serving.serve(1500)
    for kept in serving.counted[Version.CANDIDATE]:
        assert kept.within[-1] == kept.requests >= kept.failures
        assert kept.score is not None and kept.score == (0.25 * kept.requests, kept.requests)
        assert kept.pairs is not None and sum(kept.pairs[1:]) <= kept.pairs[0]
        assert sum(kept.classes) <= kept.requests <= (kept.routed or 0)
    totals = [sum(row.requests for row in serving.counted[v]) for v in (Version.CANDIDATE, Version.STABLE)]
    assert totals == pytest.approx([3000, 7000], rel=0.05)


def test_what_the_traffic_can_not_show_is_left_out_and_said() -> None:
    metrics = (
        CustomMetric(name="quality", sum="loss_sum", count="loss_count"),
        CustomMetric(name="drift", value="psi", threshold=0.2),
    )
    steps = (Step(weight=5, pause=Pause(until_approved=True)), Step(weight=50, pause=Pause(duration=60)))
    spec = a_spec(steps=steps, analysis=replace(Rollout().analysis, metrics=metrics))
    kept, notes = fitted(spec, scored_tape=True)
    assert [metric.name for metric in kept.rollout.analysis.metrics] == ["quality"]
    assert [step.pause for step in kept.rollout.steps] == [None, Pause(duration=60)]
    assert any("drift" in note for note in notes)
    assert any("approvals" in note for note in notes)
    assert fitted(spec, scored_tape=False)[0].rollout.analysis.metrics == ()


def test_scores_of_a_table_are_the_metric_of_the_spec() -> None:
    def lines(loss: float) -> str:
        return "".join(
            f"{t},{arm},3000,0,{3000 * (loss if arm == 'candidate' else 0.1):g},3000\n"
            for t in range(-1800, 1500, 15)
            for arm in ("stable", "candidate")
        )

    metric = CustomMetric(name="quality", sum="loss_sum", count="loss_count")
    spec = a_spec(analysis=replace(Rollout().analysis, metrics=(metric,)))
    for loss, ending in ((0.1, None), (0.4, "quality")):
        tape = read_table(f"t,arm,requests,failures,score_sum,score_count\n{lines(loss)}")
        run = Simulation(spec=spec, tape=tape).run()
        assert run.metric == ending
        assert (run.ending is Ending.ROLLED_BACK) is (ending is not None)
