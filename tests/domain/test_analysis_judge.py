"""The seam: `begin`, `enter`, `judge`, `overall`, on evidence as the adapters give it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from modelrelease.domain.analysis import Exposure, amber, begin, enter, judge, overall
from modelrelease.domain.analysis.pack import unpack
from modelrelease.domain.counts import Arm, Block, CustomCount, Evidence, GoldenCheck, History, Pairs
from modelrelease.domain.observed import Slot
from modelrelease.domain.policy import Analysis, CustomMetric, ErrorRate, Latency
from modelrelease.domain.problem import Problem
from modelrelease.domain.status import AnalysisState, Verdict, VerdictValue

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BLOCK = 15.0
POLICY = Analysis(warmup=0.0)
BOUNDS = (10.0, 50.0, 100.0, 250.0, 1000.0, math.inf)
TAIL = (0.30, 0.80, 0.92, 0.995, 1.0, 1.0)  # of stable's requests within each bound
STEP = Exposure(weight=0.05)
PASS, FAIL, INCONCLUSIVE, ERROR = VerdictValue.PASS, VerdictValue.FAIL, VerdictValue.INCONCLUSIVE, VerdictValue.ERROR


def arm(requests: float, failures: float = 0.0, *, within: tuple[float, ...] = TAIL, **more: object) -> Arm:
    latency = tuple((bound, round(requests * share)) for bound, share in zip(BOUNDS, within, strict=True))
    return Arm(requests=requests, failures=failures, latency=latency, **more)  # type: ignore[arg-type]


def history(windows: int = 480, **more: object) -> History:
    return History(block=BLOCK, windows=tuple(arm(750, 6 + 3 * (i % 2), **more) for i in range(windows)))  # type: ignore[arg-type]


def at(index: float) -> datetime:
    return START + timedelta(seconds=BLOCK * index)


def blocks(
    count: int, *, stable: Arm | None = None, candidate: Arm | None = None, shadow: Arm | None = None, first: int = 0
) -> tuple[Block, ...]:
    return tuple(
        Block(
            start=at(i),
            end=at(i + 1),
            stable=stable or Arm(),
            candidate=candidate or Arm(),
            shadow=shadow or Arm(),
        )
        for i in range(first, first + count)
    )


def begun(policy: Analysis = POLICY, past: History | None = None) -> AnalysisState:
    state = begin(policy=policy, history=past or history(), block=BLOCK, at=START)
    return enter(policy=policy, state=state, at=START)


def look(
    made: tuple[Block, ...],
    *,
    policy: Analysis = POLICY,
    state: AnalysisState | None = None,
    exposure: Exposure = STEP,
    **more: object,
) -> tuple[dict[str, Verdict], AnalysisState]:
    state = state or begun(policy)
    end = made[-1].end if made else START
    evidence = Evidence(
        start=state.until,
        end=end,
        blocks=made,
        error_query="the errors",
        latency_query="the latency",
        **more,  # type: ignore[arg-type]
    )
    verdicts, after = judge(policy=policy, state=state, evidence=evidence, exposure=exposure)
    return {verdict.metric: verdict for verdict in verdicts}, after


STABLE, GOOD, BAD = arm(712, 7), arm(38, 0), arm(38, 4)


def test_a_good_candidate_passes_every_metric_and_the_sentence_has_the_numbers() -> None:
    verdicts, _ = look(blocks(80, stable=STABLE, candidate=GOOD))
    assert {name: verdict.verdict for name, verdict in verdicts.items()} == dict.fromkeys(
        ("error-ratio", "latency-100ms", "latency-250ms", "bad-requests", "traffic-split"), PASS
    )
    assert overall(verdicts.values()) is PASS
    errors = verdicts["error-ratio"]
    assert errors.message == (
        "0.00 % of requests failed against 0.98 % of stable's (allowed: 1.58 %), from 3 040 requests; "
        "that it is no worse is proven"
    )
    assert (errors.estimate, errors.samples, errors.blocks, errors.query) == (0.0, 3040, 80, "the errors")
    assert errors.baseline == pytest.approx(7 / 712)
    assert errors.threshold == pytest.approx(0.005 + 1.1 * 7 / 712)
    assert errors.e_value is not None and errors.e_value >= 20
    assert errors.lower is not None and errors.upper is not None and errors.lower < errors.upper <= 0
    assert verdicts["latency-250ms"].query == "the latency"


def test_a_bad_candidate_fails_after_few_blocks_and_its_lower_bound_rises() -> None:
    verdicts, _ = look(blocks(5, stable=STABLE, candidate=BAD))
    errors = verdicts["error-ratio"]
    assert errors.verdict is FAIL
    assert errors.message.endswith("from 190 requests; that it is worse is proven")
    assert errors.e_value is not None and errors.e_value > 20
    longer, _ = look(blocks(60, stable=STABLE, candidate=BAD))
    assert longer["error-ratio"].lower is not None and longer["error-ratio"].lower > 0


def test_a_slow_candidate_fails_by_the_bound_at_which_it_is_slow() -> None:
    slow = arm(38, 0, within=(0.3, 0.8, 0.92, 0.92, 1.0, 1.0))
    verdicts, _ = look(blocks(25, stable=STABLE, candidate=slow))
    assert verdicts["latency-250ms"].verdict is FAIL
    assert "of requests took longer than 250 ms against 0.56 % of stable's" in verdicts["latency-250ms"].message
    assert verdicts["error-ratio"].verdict is not FAIL


def test_no_requests_and_nothing_to_compare_with_are_inconclusive_sentences() -> None:
    nothing, after = look(blocks(5))
    assert nothing["error-ratio"].verdict is INCONCLUSIVE
    assert "no request" in nothing["error-ratio"].message
    assert after.until == at(5)
    alone, _ = look(blocks(5, candidate=arm(500, 500)))
    assert alone["error-ratio"].verdict is INCONCLUSIVE
    assert alone["error-ratio"].message == "no request of stable to compare 2 500 of the candidate with"


def test_what_is_needed_is_told() -> None:
    message = look(blocks(10, stable=STABLE, candidate=arm(38, 0.38)))[0]["error-ratio"].message
    assert "from 380 requests, of about 2 700 that are needed" in message


def test_few_requests_never_pass() -> None:
    few = replace(POLICY, min_requests=5000)
    verdicts, _ = look(blocks(80, stable=STABLE, candidate=GOOD), policy=few)
    assert verdicts["error-ratio"].verdict is INCONCLUSIVE
    assert verdicts["error-ratio"].message.endswith("of at least 5 000 that are needed")


def test_looks_in_pieces_and_a_restart_at_any_block_decide_the_same() -> None:
    rng = numpy.random.default_rng(8)
    made = tuple(
        Block(
            start=at(i),
            end=at(i + 1),
            stable=arm(712, float(rng.binomial(712, 0.01))),
            candidate=arm(38, float(rng.binomial(38, 0.03))),
        )
        for i in range(24)
    )
    whole, last = look(made)
    for cuts in ((0, 7, 24), (0, 1, 2, 3, 24), tuple(range(25))):
        state, verdicts = begun(), whole
        for low, high in pairwise(cuts):
            verdicts, state = look(made[low:high], state=state)
        assert {n: v.verdict for n, v in verdicts.items()} == {n: v.verdict for n, v in whole.items()}
        ours, theirs = (unpack(each.state).memory for each in (state, last))
        assert numpy.log(ours.fail_e) == pytest.approx(numpy.log(theirs.fail_e), abs=1e-9)
        assert numpy.log(ours.pass_best) == pytest.approx(numpy.log(theirs.pass_best), abs=1e-9)


def test_blocks_that_were_folded_are_not_counted_twice() -> None:
    made = blocks(10, stable=STABLE, candidate=GOOD)
    first, state = look(made)
    again, after = look(made, state=state)
    assert after == state
    assert again == first


def test_the_state_is_small_with_everything_on() -> None:
    policy = replace(
        POLICY,
        error_rate=ErrorRate(objective=0.05),
        metrics=(CustomMetric(name="loss", sum="s", count="c"), CustomMetric(name="toxic", bad="b", total="t")),
    )
    custom = (CustomCount(name="loss", bad=3.3, total=38), CustomCount(name="toxic", bad=1, total=38))
    more = tuple(replace(each, total=712) for each in custom)
    rng = numpy.random.default_rng(1)
    made = tuple(
        replace(
            block,
            stable=replace(arm(712, float(rng.binomial(712, 0.01))), custom=more, classes=(("a", 400), ("b", 312))),
            candidate=replace(arm(38, float(rng.binomial(38, 0.01))), custom=custom, classes=(("a", 20), ("b", 18))),
            shadow=replace(arm(600, 6), custom=custom, pairs=Pairs(count=20, worse=1, better=1)),
        )
        for block in blocks(200)
    )
    verdicts, state = look(made, policy=policy, exposure=replace(STEP, mirror=Slot.PREVIEW, percent=95))
    assert len(state.state) < 4096
    assert {"loss", "toxic", "error-objective", "answers", "classes"} <= verdicts.keys()


@pytest.mark.parametrize("text", ["", "9.x.AAAA", "1.error-ratio.!!!", "1.error-ratio.AAAA", "garbage", "1..", "1"])
def test_a_state_that_can_not_be_read_is_an_error_and_no_crash(text: str) -> None:
    broken = replace(begun(), state=text)
    verdicts, after = look(blocks(3, stable=STABLE, candidate=BAD), state=broken)
    assert {verdict.verdict for verdict in verdicts.values()} == {ERROR}
    assert "retry the release" in verdicts["error-ratio"].message
    assert after == broken
    assert enter(policy=POLICY, state=broken, at=at(3)).until == at(3)
    assert amber(broken)


def test_evidence_that_could_not_be_read_is_an_error_and_changes_nothing() -> None:
    state = begun()
    problem = Problem(reason="MetricsUnreachable", message="Prometheus does not answer")
    verdicts, after = look((), state=state, error=problem)
    assert {(v.verdict, v.message) for v in verdicts.values()} == {(ERROR, "Prometheus does not answer")}
    assert after == state


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (arm(38, 39), "there can't be more bad ones than all"),
        (replace(arm(38), failures=-1), "a counter went backwards"),
        (replace(arm(38), requests=math.nan), "counts must be finite numbers"),
        (replace(arm(38), requests=math.inf), "counts must be finite numbers"),
    ],
)
def test_counts_that_make_no_sense_are_an_error_and_no_evidence(bad: Arm, said: str) -> None:
    good = blocks(80, stable=STABLE, candidate=GOOD)
    verdicts, _ = look((*good, *blocks(1, stable=STABLE, candidate=bad, first=80)))
    assert verdicts["error-ratio"].verdict is ERROR
    assert said in verdicts["error-ratio"].message
    assert "the candidate's" in verdicts["error-ratio"].message
    assert verdicts["error-ratio"].samples == 80 * 38


def test_a_bucket_that_is_gone_is_an_error_that_names_the_nearest() -> None:
    other = replace(GOOD, latency=((20.0, 30.0), (200.0, 37.0), (math.inf, 38.0)))
    verdicts, _ = look(blocks(3, stable=STABLE, candidate=other))
    assert verdicts["latency-250ms"].verdict is ERROR
    assert "no bucket of 250 ms any more; the nearest: 20 and 200 ms" in verdicts["latency-250ms"].message


def test_clocks_that_jump_are_left_out() -> None:
    backwards = Block(start=at(4), end=at(3), stable=STABLE, candidate=BAD)
    early = Block(start=at(-9), end=at(-8), stable=STABLE, candidate=BAD)
    verdicts, after = look((early, backwards, *blocks(1, stable=STABLE, candidate=GOOD)))
    assert verdicts["error-ratio"].samples == 38
    assert after.until == at(1)


def test_without_history_noise_is_assumed_and_the_bounds_come_from_the_first_requests() -> None:
    state = begin(policy=POLICY, history=None, block=BLOCK, at=START)
    assert state.bounds == ()
    verdicts, after = look(blocks(5, stable=STABLE, candidate=GOOD), state=enter(policy=POLICY, state=state, at=START))
    assert after.bounds == (100.0, 250.0)
    assert verdicts["latency-100ms"].samples == 4 * 38  # the first block chose the bound
    assert unpack(after.state).memory.floor.min() == 2.0
    short = begin(policy=POLICY, history=history(60), block=BLOCK, at=START)
    assert unpack(short.state).memory.floor.tolist() == [2.0] * 3


def test_the_objective_of_latency_is_rounded_up_to_a_bucket() -> None:
    policy = replace(POLICY, latency=Latency(objective=0.2))
    assert begun(policy).bounds == (250.0,)
    beyond = replace(POLICY, latency=Latency(objective=5.0))
    assert begun(beyond).bounds == ()


def test_a_block_is_never_longer_than_the_interval() -> None:
    assert begin(policy=POLICY, history=None, block=60.0, at=START).block == POLICY.interval
    assert begin(policy=POLICY, history=None, block=5.0, at=START).block == 5.0
    assert begin(policy=POLICY, history=None, block=0.0, at=START).block == POLICY.interval


def test_a_step_forgets_the_pass_and_keeps_what_speaks_against() -> None:
    _, state = look(blocks(60, stable=STABLE, candidate=arm(38, 0.7)))
    entered = enter(policy=POLICY, state=state, at=at(70))
    before, after = unpack(state.state), unpack(entered.state)
    assert entered.until == at(70)
    assert after.memory.fail_e.tolist() == before.memory.fail_e.tolist()
    assert after.memory.pass_best.tolist() == [1.0] * 3
    assert after.excess == before.excess
    assert not after.tally.any()


def test_a_full_mirror_proves_every_step_once_and_for_all() -> None:
    mirrored = Exposure(weight=0.0, mirror=Slot.PREVIEW, percent=100)
    shadow, state = look(blocks(40, stable=arm(750, 7), shadow=arm(750, 7)), exposure=mirrored)
    assert shadow["error-ratio"].verdict is PASS
    assert "from 30 000 of the mirrored requests" in shadow["error-ratio"].message
    assert shadow["error-ratio"].samples == 40 * 750
    state = enter(policy=POLICY, state=state, at=at(44))
    live, _ = look(blocks(3, stable=STABLE, candidate=GOOD, first=44), state=state)
    assert live["error-ratio"].verdict is PASS
    assert live["error-ratio"].message.endswith("a full mirror proved that it is no worse")
    none, _ = look(blocks(3, stable=STABLE, first=44), state=state)
    assert none["error-ratio"].verdict is INCONCLUSIVE


def test_a_partial_mirror_proves_nothing_for_later_steps() -> None:
    partial = Exposure(weight=0.0, mirror=Slot.PREVIEW, percent=50)
    _, state = look(blocks(40, stable=arm(750, 7), shadow=arm(375, 3)), exposure=partial)
    live, _ = look(
        blocks(3, stable=STABLE, candidate=GOOD, first=44), state=enter(policy=POLICY, state=state, at=at(44))
    )
    assert live["error-ratio"].verdict is INCONCLUSIVE


def test_a_mirror_feeds_the_failure_and_no_request_counts_twice() -> None:
    mirrored = Exposure(weight=0.0, mirror=Slot.PREVIEW, percent=100)
    bad, state = look(blocks(4, stable=arm(750, 7), shadow=arm(750, 45)), exposure=mirrored)
    assert bad["error-ratio"].verdict is FAIL
    _, quiet = look(blocks(1, stable=arm(750, 7), shadow=arm(750, 7)), exposure=mirrored)
    memory = unpack(quiet.state).memory
    assert float(memory.fail_e[0] + memory.fail_e[3]) <= 1.05  # one test's money, parted
    assert memory.fail_cash[0] == pytest.approx(0.5)
    assert unpack(state.state).excess == 0.0  # nobody saw those failures


def test_an_objective_blames_the_candidate_only_where_stable_is_better() -> None:
    policy = replace(POLICY, error_rate=ErrorRate(objective=0.02))
    outage = blocks(20, stable=arm(712, 71), candidate=arm(38, 4))
    verdicts, _ = look(outage, policy=policy)
    assert verdicts["error-objective"].verdict is INCONCLUSIVE
    assert overall(verdicts.values()) is not FAIL
    alone, _ = look(blocks(20, candidate=arm(38, 4)), policy=policy, exposure=Exposure(weight=1.0))
    assert alone["error-objective"].verdict is FAIL
    assert "(objective: 2.00 %)" in alone["error-objective"].message
    within, _ = look(blocks(80, stable=STABLE, candidate=GOOD), policy=policy)
    assert within["error-objective"].verdict is PASS


def test_metrics_of_the_users_own_count_bad_ones_and_losses() -> None:
    policy = replace(
        POLICY,
        metrics=(CustomMetric(name="loss", sum="s", count="c"), CustomMetric(name="queue", value="q", threshold=5)),
    )

    def made(loss: float) -> tuple[Block, ...]:
        stable = replace(STABLE, custom=(CustomCount(name="loss", bad=71.2, total=712),))
        return blocks(
            40, stable=stable, candidate=replace(GOOD, custom=(CustomCount(name="loss", bad=loss, total=38),))
        )

    def queue(value: float) -> tuple[CustomCount, ...]:
        return (CustomCount(name="queue", bad=value, total=1),)

    good, _ = look(made(1.9), policy=policy, values=queue(3.0), values_before=queue(4.0))
    assert (good["loss"].verdict, good["queue"].verdict) == (PASS, PASS)
    bad, _ = look(made(9.5), policy=policy, values=queue(9.0), values_before=queue(8.0))
    assert (bad["loss"].verdict, bad["queue"].verdict) == (FAIL, FAIL)
    assert bad["queue"].message == "queue is 9, allowed is at most 5"
    none, _ = look(made(1.9), policy=policy, values=(CustomCount(name="queue", bad=0, total=0),))
    assert none["queue"].verdict is INCONCLUSIVE
    odd, _ = look(made(1.9), policy=policy, values=(CustomCount(name="queue", bad=math.nan, total=1),))
    assert odd["queue"].verdict is ERROR
    broken = {name: Problem(reason="Several", message=f"{name}: several series") for name in ("loss", "queue")}
    told, _ = look(made(1.9), policy=policy, problems=broken)
    assert [(told[n].verdict, told[n].message) for n in broken] == [(ERROR, f"{n}: several series") for n in broken]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (3.0, 9.0, "queue is 9, allowed is at most 5; at the look before it was 3, and two looks must agree"),
        (9.0, 3.0, "queue is 3, allowed is at most 5; at the look before it was 9, and two looks must agree"),
        (None, 9.0, "queue is 9, allowed is at most 5; one look alone decides nothing"),
        (None, 3.0, "queue is 3, allowed is at most 5; one look alone decides nothing"),
        (math.inf, 9.0, "queue is 9, allowed is at most 5; one look alone decides nothing"),
    ],
)
def test_one_look_at_a_value_decides_nothing(before: float | None, now: float, told: str) -> None:
    policy = replace(POLICY, metrics=(CustomMetric(name="queue", value="q", threshold=5),))
    earlier = CustomCount(name="queue", bad=before or 0.0, total=float(before is not None))
    verdicts, _ = look(
        (), policy=policy, values=(CustomCount(name="queue", bad=now, total=1),), values_before=(earlier,)
    )
    assert (verdicts["queue"].verdict, verdicts["queue"].message) == (INCONCLUSIVE, told)


def test_a_split_that_is_not_as_commanded_stops_every_judgement() -> None:
    verdicts, _ = look(blocks(30, stable=arm(745, 7), candidate=arm(5, 0)))
    assert verdicts["traffic-split"].verdict is ERROR
    assert "5.00 % were wanted" in verdicts["traffic-split"].message
    assert overall(verdicts.values()) is ERROR
    mirror, _ = look(
        blocks(30, stable=arm(750, 7), candidate=arm(750, 7)), exposure=Exposure(weight=1.0, mirror=Slot.STABLE)
    )
    assert "traffic-split" not in mirror


def test_the_budget_acts_on_a_single_block() -> None:
    verdicts, _ = look(blocks(1, stable=arm(14_000, 140), candidate=arm(750, 720)))
    assert verdicts["bad-requests"].verdict is FAIL
    assert verdicts["error-ratio"].verdict is INCONCLUSIVE
    assert overall(verdicts.values()) is FAIL


def check(revision: str, bad: int, minute: int = 1) -> GoldenCheck:
    return GoldenCheck(
        revision=revision, at=at(4 * minute), asked=20, wrong=bad, message="row 3 differs" if bad else ""
    )


def test_golden_requests_that_go_wrong_fail_the_candidate_alone() -> None:
    def verdict(*checks: GoldenCheck) -> Verdict | None:
        return look((), golden=checks)[0].get("golden")

    failed = verdict(check("new", 2), check("old", 0))
    assert failed is not None and failed.verdict is FAIL
    assert failed.message == "2 of 20 golden requests went wrong on the candidate (row 3 differs)"
    both = verdict(check("new", 2), check("old", 2))
    assert both is not None and both.verdict is ERROR
    good = verdict(check("new", 0), check("old", 3))
    assert good is not None and good.verdict is PASS
    assert verdict() is None


def test_golden_requests_that_cannot_be_asked_are_told_and_decide_nothing() -> None:
    problem = Problem(reason="GoldenSetMalformed", message="the golden requests of revision new can't be used")
    unasked = replace(check("new", 0), asked=0, problem=problem)
    verdicts, _ = look((), golden=(unasked, check("old", 3)))
    told = verdicts["golden"]
    assert (told.verdict, told.advisory, told.samples) == (INCONCLUSIVE, True, 0)
    assert told.message == f"no golden request was asked of the candidate: {problem.message}"


def test_the_same_golden_requests_asked_again_are_no_new_evidence() -> None:
    state = begun()
    for minute in range(1, 6):
        verdicts, after = look((), state=state, golden=(check("new", 0, minute), check("old", 0, minute)))
        assert verdicts["golden"].samples == 20
        assert after == state


def test_evidence_against_that_grows_lets_nothing_advance() -> None:
    verdicts, state = look(blocks(80, stable=STABLE, candidate=GOOD))
    assert verdicts["error-ratio"].verdict is PASS and not amber(state)
    for _ in range(20):
        if amber(state):
            break
        worse = blocks(
            1, stable=STABLE, candidate=arm(38, 2), first=round((state.until - START).total_seconds() / BLOCK)
        )
        verdicts, state = look(worse, state=state)
    assert verdicts["error-ratio"].verdict is INCONCLUSIVE
    assert "nothing advances meanwhile" in verdicts["error-ratio"].message
    assert not amber(begun())


def test_the_order_of_the_users_metrics_changes_nothing() -> None:
    first, second = CustomMetric(name="a", bad="x", total="y"), CustomMetric(name="b", bad="x", total="y")
    counts = (CustomCount(name="a", bad=1, total=38), CustomCount(name="b", bad=9, total=38))
    stable = replace(STABLE, custom=tuple(replace(each, bad=10, total=712) for each in counts))
    made = blocks(12, stable=stable, candidate=replace(GOOD, custom=counts))
    results = [look(made, policy=replace(POLICY, metrics=order))[0] for order in ((first, second), (second, first))]
    assert results[0] == results[1]
    assert results[0]["b"].verdict is FAIL


def test_a_metric_that_an_edit_adds_begins_with_suspicion_and_the_others_go_on() -> None:
    _, state = look(blocks(20, stable=STABLE, candidate=BAD))
    edited = replace(POLICY, metrics=(CustomMetric(name="late", bad="x", total="y"),))
    verdicts, after = look(blocks(1, stable=STABLE, candidate=BAD, first=20), policy=edited, state=state)
    assert verdicts["error-ratio"].verdict is FAIL
    carried = unpack(after.state)
    assert carried.memory.floor[carried.names.index("late")] == 2.0


anything = st.floats() | st.integers(-5, 10**9).map(float)
wild = st.builds(
    Arm,
    requests=anything,
    failures=anything,
    latency=st.lists(st.tuples(anything | st.sampled_from(BOUNDS), anything), max_size=5).map(tuple),
    classes=st.lists(st.tuples(st.sampled_from("ab,;."), anything), max_size=3).map(tuple),
    pairs=st.none() | st.builds(Pairs, count=anything, worse=anything, better=anything),
)


@settings(
    max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # shrinking takes minutes
@given(arms=st.lists(st.tuples(wild, wild, wild), max_size=4), weight=st.sampled_from([0.0, 0.05, 0.99, 1.0]))
def test_whatever_the_counts_verdicts_are_sentences_and_the_state_can_be_read(
    arms: list[tuple[Arm, Arm, Arm]], weight: float
) -> None:
    made = tuple(Block(start=at(i), end=at(i + 1), stable=s, candidate=c, shadow=m) for i, (s, c, m) in enumerate(arms))
    verdicts, state = look(made, exposure=Exposure(weight=weight, mirror=Slot.PREVIEW))
    unpack(state.state)
    for verdict in verdicts.values():
        assert verdict.message
        assert "nan" not in verdict.message or verdict.verdict is ERROR
        numbers = [verdict.estimate, verdict.baseline, verdict.lower, verdict.upper, verdict.e_value]
        assert all(number is None or math.isfinite(number) for number in numbers)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("Pass Pass", "Pass"),
        ("Pass Inconclusive", "Inconclusive"),
        ("Inconclusive Error Pass", "Error"),
        ("Error Fail Inconclusive", "Fail"),
        ("", "Inconclusive"),
    ],
)
def test_the_worst_verdict_decides_and_none_passes_nothing(values: str, expected: str) -> None:
    verdicts = [Verdict(metric=str(i), verdict=VerdictValue(v), message="") for i, v in enumerate(values.split())]
    assert overall(verdicts) == expected
    told = Verdict(metric="told", verdict=FAIL, message="", advisory=True)
    assert overall([*verdicts, told]) == expected


COLD = replace(POLICY, warmup=60.0)


def test_failures_count_against_a_candidate_from_its_first_request() -> None:
    bad = arm(38, 20)
    verdicts, _ = look(blocks(4, stable=STABLE, candidate=bad), policy=COLD)
    assert verdicts["error-ratio"].verdict is FAIL


def test_nothing_counts_for_a_candidate_while_it_warms_up() -> None:
    many, few = arm(7000, 56), arm(70_000, 560)
    cold, state = look(blocks(4, stable=few, candidate=many), policy=COLD)
    assert cold["error-ratio"].verdict is INCONCLUSIVE
    warm, _ = look(blocks(4, stable=few, candidate=many), policy=POLICY)
    assert warm["error-ratio"].verdict is PASS
    after, _ = look(blocks(4, stable=few, candidate=many, first=4), policy=COLD, state=state)
    assert after["error-ratio"].verdict is PASS


def test_who_is_slow_only_while_it_warms_up_is_not_slow() -> None:
    slow = arm(70, within=(0.0, 0.0, 0.0, 0.1, 1.0, 1.0))
    cold, state = look(blocks(4, stable=STABLE, candidate=slow), policy=COLD)
    assert cold["latency-100ms"].verdict is INCONCLUSIVE
    assert cold["latency-100ms"].samples == 0
    longer, _ = look(blocks(4, stable=STABLE, candidate=slow, first=4), policy=COLD, state=state)
    assert longer["latency-100ms"].verdict is FAIL


def test_the_split_of_the_traffic_is_checked_after_the_warm_up() -> None:
    wrong = arm(700)
    cold, state = look(blocks(4, stable=STABLE, candidate=wrong), policy=COLD)
    assert cold.get("traffic-split", cold["error-ratio"]).verdict is not ERROR
    settled, _ = look(blocks(4, stable=STABLE, candidate=wrong, first=4), policy=COLD, state=state)
    assert settled["traffic-split"].verdict is ERROR
