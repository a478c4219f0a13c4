"""The stages with evidence: shadow, steps and bake. Weight rises only here, and only on a pass for this very step."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from modelrelease.domain import analysis
from modelrelease.domain.admission import first_step
from modelrelease.domain.codec import format_duration
from modelrelease.domain.context import FULL, SUSPENDED, Context, Wait, capacity, ppm, slot_ready
from modelrelease.domain.evidence import clock, evidence_wait, judged, overall, samples
from modelrelease.domain.mirroring import mirror_target
from modelrelease.domain.observed import Slot
from modelrelease.domain.policy import OnInconclusive
from modelrelease.domain.problem import Problem
from modelrelease.domain.stages import promoted
from modelrelease.domain.status import Outcome, Stage, Status, Verdict, VerdictValue

# Failures that people handle in another way have reasons of their own.
_REASONS = {"golden": "GoldenFailed", "bad-requests": "BudgetExceeded"}


def shadow(context: Context) -> Status | Wait:
    """Gather evidence on copies of requests until it passes, or the time for it is over."""
    if (first := _watch(context)) is not None:
        return first
    candidate, wanted, mirror = context.candidate, context.spec.rollout.shadow, mirror_target(context)
    started = candidate.step_started_at
    assert started is not None
    check = context.next_check(started)
    if context.spec.suspend:
        return replace(SUSPENDED, until=check)
    verdict = overall(candidate)
    if candidate.skip or wanted is None:
        return first_step(context)
    end = context.after(started, wanted.duration)
    proven = verdict is VerdictValue.PASS and mirror is not None and mirror.percent == FULL
    if verdict is VerdictValue.ERROR:
        return evidence_wait(candidate, verdict, context)
    if proven or mirror is None or context.now >= end:
        return first_step(context)
    what = f"the shadow to pass or to end: {_worded(candidate.verdicts) or 'no evidence yet'}"
    return Wait(reason="Shadow", what=what, who="traffic", counts=False, until=min(end, check))


def step(context: Context) -> Status | Wait:
    """Follow the ladder: accepted, judged, paused, approved, on."""
    if (edited := _edited_ladder(context)) is not None:
        return edited
    if (first := _watch(context)) is not None:
        return first
    return _step_wait(context) or _raise(context)


def _watch(context: Context) -> Status | Wait | None:
    """Look at what goes before any progress: endpoints, acceptance, evidence. None where all is well."""
    if (lost := lost_endpoints(context)) is not None:
        return lost
    if (accepted := _accepted(context)) is not None:
        return accepted
    if (candidate := judged(context)) is not None:
        return context.with_candidate(candidate)
    return _fail(context) if overall(context.candidate) is VerdictValue.FAIL else None


def lost_endpoints(context: Context) -> Status | None:
    """Return the retreat of a candidate with traffic that has no ready endpoint: on the event, without statistics."""
    observed, candidate = context.observed, context.candidate
    slot = observed.slots.get(Slot.CANDIDATE)
    routed = any(r.candidate_ppm is not None and r.candidate_ppm > ppm(0) for r in observed.routes.values())
    if not routed or slot is None or slot.revision != candidate.revision or slot.ready:
        return None
    facts = observed.deployments.get(candidate.revision)
    why = f": {facts.problem.message}" if facts and facts.problem else ""
    message = f"the candidate has no ready endpoint at {candidate.weight.desired} %{why}"
    return context.lose(Problem(reason="CandidateUnavailable", message=message))


def _edited_ladder(context: Context) -> Status | None:
    """Plan anew after an edit of the steps: never up, evidence restarts. Without steps the planned ladder stays."""
    candidate = context.candidate
    wanted = tuple(s.weight for s in context.spec.rollout.steps)
    today = candidate.weight.desired
    if not wanted or candidate.ladder[-len(wanted) :] == wanted:
        return None
    below = [index for index, weight in enumerate(wanted) if weight <= today]
    ladder, index = (wanted, below[-1]) if below else ((today, *wanted), 0)
    edited = replace(
        candidate,
        ladder=ladder,
        step=index,
        weight=replace(candidate.weight, desired=ladder[index]),
        step_started_at=None,
        verdicts=(),
        verdicts_at=None,
        approved=False,
        progress_at=context.now,
    )
    return context.with_candidate(edited)


def _accepted(context: Context) -> Status | Wait | None:
    """Wait for the gateway to accept this weight on every route; clock and evidence start then."""
    candidate, policy = context.candidate, context.spec.rollout.analysis
    if clock(candidate) is not None and candidate.analysis is not None:
        return None
    if (wait := _awaited_gateway(context)) is not None:
        return wait
    state = candidate.analysis
    if state is None:  # of an operator that knew no such state: the evidence starts here
        state = analysis.begin(policy=policy, history=None, block=policy.interval, at=context.now)
    entered = analysis.enter(policy=policy, state=state, at=context.now)
    accepted = replace(
        candidate,
        weight=replace(candidate.weight, accepted=candidate.weight.desired),
        peak_weight=max(candidate.peak_weight, candidate.weight.desired),
        progress_at=context.now,
        analysis=entered,
    )
    if candidate.stage is Stage.BAKE:
        return context.with_candidate(replace(accepted, bake_started_at=context.now))
    return context.with_candidate(replace(accepted, step_started_at=context.now))


def _awaited_gateway(context: Context) -> Wait | None:
    """Return what keeps the gateway from serving this weight and these copies on every route, None if it does."""
    candidate, observed = context.candidate, context.observed
    wanted, mirror = ppm(candidate.weight.desired), mirror_target(context)
    routes = [observed.routes.get(protocol) for protocol in observed.protocols]
    if all(r is not None and r.accepted and r.candidate_ppm == wanted and r.mirror == mirror for r in routes):
        return None
    slot = observed.slots.get(Slot.CANDIDATE)
    if candidate.stage is not Stage.SHADOW:
        if slot is None or not slot.serves(candidate.revision):
            return Wait(reason="Gateway", what="the candidate slot to serve the candidate", who="the cluster")
        needed = needed_capacity(context, candidate.weight.desired)
        ready = slot_ready(observed, Slot.CANDIDATE, candidate.revision)
        if ready < needed:
            return Wait(reason="Capacity", what=f"{needed} ready candidate pods, {ready} are", who="the cluster")
    problem = next((r.problem for r in routes if r is not None and r.problem), None)
    copies = f" and copies of {mirror.percent} %" if mirror else ""
    what = problem.message if problem else f"the gateway to accept {candidate.weight.desired} %{copies}"
    return Wait(reason="Gateway", what=what, who="the gateway")


def needed_capacity(context: Context, weight: int) -> int:
    """Return how many candidate pods a weight needs: its share of stable's ready ones."""
    stable = context.status.stable
    assert stable is not None
    facts = context.observed.deployments.get(stable.revision)
    ready = facts.ready if facts else stable.replicas
    return capacity(weight=weight, stable_ready=ready, replicas=context.spec.serving.replicas)


def _fail(context: Context) -> Status:
    candidate = context.candidate
    worst = next(v for v in candidate.verdicts if v.verdict is VerdictValue.FAIL and not v.advisory)
    exposed = candidate.stage is not Stage.SHADOW
    where = f"at {candidate.weight.desired} %" if exposed else "on copies of requests"
    return context.retreat(
        outcome=Outcome.ROLLED_BACK if exposed else Outcome.FAILED,
        reason=_REASONS.get(worst.metric, "AnalysisFailed"),
        message=f"{worst.message}, {where}",
    )


def _step_wait(context: Context) -> Status | Wait | None:
    """Return what this step still waits for or how it ends without a verdict, None if its weight may rise."""
    candidate, spec = context.candidate, context.spec
    started = candidate.step_started_at
    assert started is not None
    check = context.next_check(started)
    if spec.suspend:
        return replace(SUSPENDED, until=check)
    if candidate.skip:
        return None
    verdict = overall(candidate)
    policy = spec.rollout.analysis
    late = context.after(started, policy.step_deadline) <= context.now
    if verdict is VerdictValue.ERROR or (verdict is VerdictValue.INCONCLUSIVE and not late):
        return evidence_wait(candidate, verdict, context)
    if verdict is VerdictValue.INCONCLUSIVE and (end := _undecided(context, check)) is not None:
        return end
    if context.now < (least := context.after(started, policy.warmup + policy.min_duration)):
        what = f"the step's least time to end, {format_duration((least - context.now).total_seconds())} from now"
        return Wait(reason="LeastTime", what=what, who="the clock", counts=False, until=check)
    pause = context.pause()
    if pause and pause.until_approved and not candidate.approved:
        number = (candidate.step or 0) + 1
        return Wait(reason="Approval", what=f"approval of step {number}", who="a person", counts=False, until=check)
    if pause and pause.duration is not None and context.now < (over := context.after(started, pause.duration)):
        until = min(over, check)
        return Wait(reason="Pause", what="the step's pause to end", who="the clock", counts=False, until=until)
    return None


def _undecided(context: Context, check: datetime) -> Status | Wait | None:
    """Return what `onInconclusive` makes of a step without a verdict at its deadline, None to go on with the next."""
    candidate, policy = context.candidate, context.spec.rollout.analysis
    said = _worded(tuple(v for v in candidate.verdicts if v.verdict is VerdictValue.INCONCLUSIVE))
    told = f"after {format_duration(policy.step_deadline)} at {candidate.weight.desired} % there is no verdict: {said}"
    if policy.on_inconclusive is OnInconclusive.ROLLBACK:
        return context.retreat(outcome=Outcome.ROLLED_BACK, reason="Inconclusive", message=told)
    if policy.on_inconclusive is OnInconclusive.ADVANCE and _unsuspicious(context):
        return None
    return Wait(reason="Inconclusive", what=f"a verdict, or a person: {told}", who="traffic or a person", until=check)


def _unsuspicious(context: Context) -> bool:
    """Tell whether there is evidence, and none against the candidate to speak of."""
    candidate = context.candidate
    assert candidate.analysis is not None
    enough = samples(candidate) >= context.spec.rollout.analysis.min_requests
    return enough and not analysis.amber(candidate.analysis)


def _raise(context: Context) -> Status:
    """Go to the next step, or after the last to all the traffic but the control's."""
    candidate = context.candidate
    assert candidate.step is not None
    on = replace(candidate, verdicts=(), verdicts_at=None, approved=False, progress_at=context.now)
    following = candidate.step + 1
    if candidate.skip or following == len(candidate.ladder):
        weight = replace(on.weight, desired=FULL - context.spec.rollout.bake.holdback)
        return context.with_candidate(replace(on, stage=Stage.BAKE, step=None, skip=False, weight=weight))
    weight = replace(on.weight, desired=candidate.ladder[following])
    return context.with_candidate(replace(on, step=following, step_started_at=None, weight=weight))


def bake(context: Context) -> Status | Wait:
    """Keep the old version loaded as the control of nearly all the traffic, then make the candidate stable."""
    if (first := _watch(context)) is not None:
        return first
    candidate = context.candidate
    if candidate.bake_ended_at is None and (wait := _bake_wait(context)) is not None:
        return wait
    if candidate.weight.desired < FULL or mirror_target(context) is not None:
        # The control goes before promotion: stable's slot is re-pointed only while it has no traffic.
        weight = replace(candidate.weight, desired=FULL)
        return context.with_candidate(replace(candidate, weight=weight, bake_ended_at=context.now))
    if (wait := _awaited_gateway(context)) is not None:
        return wait  # somebody changed a route or a slot since: stable's slot, full of traffic, must not be re-pointed
    if candidate.skip:
        return promoted(context, message="promoted by a person, who ended the bake")
    return promoted(context, message=_worded(candidate.verdicts))


def _bake_wait(context: Context) -> Wait | None:
    """Return what the bake still waits for: its time, and evidence in which nothing speaks against the candidate.

    A pass is not asked for: the control is too small for one where stable fails a good deal itself.
    """
    candidate, rollout = context.candidate, context.spec.rollout
    started = candidate.bake_started_at
    assert started is not None
    check, end = context.next_check(started), context.after(started, rollout.bake.duration)
    if context.spec.suspend:
        return replace(SUSPENDED, until=check)
    if candidate.skip:
        return None
    if context.now < end:
        return Wait(reason="Bake", what="the bake to end", who="the clock", counts=False, until=min(end, check))
    verdict = overall(candidate)
    if verdict is VerdictValue.ERROR or (verdict is VerdictValue.INCONCLUSIVE and not _unsuspicious(context)):
        return evidence_wait(candidate, verdict, context)
    return None


def _worded(verdicts: tuple[Verdict, ...]) -> str:
    return "; ".join(v.message for v in verdicts if not v.advisory)
