"""The stages with traffic: steps and bake. Weight rises only here, and only on a pass for this very step."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

from modelrelease.domain.analysis import judge, overall
from modelrelease.domain.context import FULL, SUSPENDED, Context, Wait, capacity, ppm, slot_ready
from modelrelease.domain.observed import Evidence, Problem, Slot
from modelrelease.domain.stages import promoted
from modelrelease.domain.status import Candidate, Outcome, Stage, Status, Verdict, VerdictValue


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
    if (judged := _judge_evidence(context)) is not None:
        return context.with_candidate(judged)
    return _fail(context) if _overall(context.candidate) is VerdictValue.FAIL else None


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
    """Plan anew after an edit of the steps: never up, evidence restarts."""
    candidate = context.candidate
    wanted = tuple(s.weight for s in context.spec.rollout.steps)
    today = candidate.weight.desired
    if candidate.ladder[-len(wanted) :] == wanted:
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
    """Wait for the gateway to accept this weight on every route; the step's clock starts then."""
    candidate = context.candidate
    if clock(candidate) is not None:
        return None
    if (wait := _awaited_gateway(context)) is None:
        weight = replace(candidate.weight, accepted=candidate.weight.desired)
        peak = max(candidate.peak_weight, candidate.weight.desired)
        accepted = replace(candidate, weight=weight, peak_weight=peak, progress_at=context.now)
        if candidate.stage is Stage.BAKE:
            return context.with_candidate(replace(accepted, bake_started_at=context.now))
        return context.with_candidate(replace(accepted, step_started_at=context.now))
    return wait


def _awaited_gateway(context: Context) -> Wait | None:
    """Return what keeps the gateway from serving this weight on every route, None if it does."""
    candidate, observed = context.candidate, context.observed
    wanted = ppm(candidate.weight.desired)
    routes = [observed.routes.get(protocol) for protocol in observed.protocols]
    if all(r is not None and r.accepted and r.candidate_ppm == wanted for r in routes):
        return None
    slot = observed.slots.get(Slot.CANDIDATE)
    if slot is None or not slot.serves(candidate.revision):
        return Wait(reason="Gateway", what="the candidate slot to serve the candidate", who="the cluster")
    needed, ready = (
        needed_capacity(context, candidate.weight.desired),
        slot_ready(observed, Slot.CANDIDATE, candidate.revision),
    )
    if ready < needed:
        return Wait(reason="Capacity", what=f"{needed} ready candidate pods, {ready} are", who="the cluster")
    problem = next((r.problem for r in routes if r is not None and r.problem), None)
    what = problem.message if problem else f"the gateway to accept {candidate.weight.desired} %"
    return Wait(reason="Gateway", what=what, who="the gateway")


def needed_capacity(context: Context, weight: int) -> int:
    """Return how many candidate pods a weight needs: its share of stable's ready ones."""
    stable = context.status.stable
    assert stable is not None
    facts = context.observed.deployments.get(stable.revision)
    ready = facts.ready if facts else stable.replicas
    return capacity(weight=weight, stable_ready=ready, replicas=context.spec.serving.replicas)


def clock(candidate: Candidate) -> datetime | None:
    """Return when the current weight was accepted; all checks derive from it."""
    return candidate.bake_started_at if candidate.stage is Stage.BAKE else candidate.step_started_at


def _judge_evidence(context: Context) -> Candidate | None:
    """Return the candidate with verdicts on evidence of this very step, None if there is none or it was judged."""
    evidence, candidate = context.observed.evidence, context.candidate
    started = clock(candidate)
    if evidence is None or started is None or evidence.start < started or candidate.verdicts_at == context.now:
        return None
    verdicts = judge(policy=context.spec.rollout.analysis, evidence=evidence)
    weight = replace(candidate.weight, observed=_observed_share(evidence))
    return replace(candidate, verdicts=verdicts, verdicts_at=context.now, weight=weight)


def _observed_share(evidence: Evidence) -> float | None:
    total = evidence.stable.requests + evidence.candidate.requests
    if evidence.error is not None or not 0 < total < math.inf:
        return None
    return round(FULL * evidence.candidate.requests / total, 1)


def _overall(candidate: Candidate) -> VerdictValue:
    return overall(candidate.verdicts) if candidate.verdicts else VerdictValue.INCONCLUSIVE


def _fail(context: Context) -> Status:
    candidate = context.candidate
    worst = next(v for v in candidate.verdicts if v.verdict is VerdictValue.FAIL)
    message = f"{worst.message}, at {candidate.weight.desired} %"
    return context.retreat(outcome=Outcome.ROLLED_BACK, reason="AnalysisFailed", message=message)


def _step_wait(context: Context) -> Wait | None:
    """Return what this step still waits for, None if its weight may rise."""
    candidate, spec = context.candidate, context.spec
    started = candidate.step_started_at
    assert started is not None
    check = context.next_check(started)
    if spec.suspend:
        return replace(SUSPENDED, until=check)
    if candidate.skip:
        return None
    if (verdict := _overall(candidate)) is not VerdictValue.PASS:
        return evidence_wait(candidate, verdict, context)
    pause = context.pause()
    if pause and pause.until_approved and not candidate.approved:
        number = (candidate.step or 0) + 1
        return Wait(reason="Approval", what=f"approval of step {number}", who="a person", counts=False, until=check)
    if pause and pause.duration is not None and context.now < (end := context.after(started, pause.duration)):
        return Wait(
            reason="Pause", what="the step's pause to end", who="the clock", counts=False, until=min(end, check)
        )
    return None


def evidence_wait(candidate: Candidate, verdict: VerdictValue, context: Context) -> Wait:
    """Return the wait for evidence: the first check, more traffic, or metrics that answer."""
    started = clock(candidate)
    assert started is not None
    check = context.next_check(started)
    if not candidate.verdicts:
        return Wait(reason="FirstCheck", what="the first analysis", who="the clock", until=check)
    first = next(v for v in candidate.verdicts if v.verdict is verdict)
    if verdict is VerdictValue.ERROR:
        return Wait(reason="MetricsUnavailable", what=first.message, who="the metrics", until=check)
    return Wait(reason="Traffic", what=f"enough evidence: {first.message}", who="traffic", until=check)


def _raise(context: Context) -> Status:
    """Go to the next step, or to all the traffic after the last."""
    candidate = context.candidate
    assert candidate.step is not None
    on = replace(
        candidate,
        verdicts=(),
        verdicts_at=None,
        approved=False,
        progress_at=context.now,
        bad_requests=candidate.bad_requests + context.failed_requests(),
    )
    following = candidate.step + 1
    if candidate.skip or following == len(candidate.ladder):
        return context.with_candidate(
            replace(on, stage=Stage.BAKE, step=None, skip=False, weight=replace(on.weight, desired=FULL))
        )
    weight = replace(on.weight, desired=candidate.ladder[following])
    return context.with_candidate(replace(on, step=following, step_started_at=None, weight=weight))


def bake(context: Context) -> Status | Wait:
    """Keep the old version loaded behind all the traffic, then make the candidate stable."""
    if (first := _watch(context)) is not None:
        return first
    candidate = context.candidate
    started = candidate.bake_started_at
    assert started is not None
    end, check = context.after(started, context.spec.rollout.bake.duration), context.next_check(started)
    if context.spec.suspend:
        return replace(SUSPENDED, until=check)
    if not candidate.skip and context.now < end:
        return Wait(reason="Bake", what="the bake to end", who="the clock", counts=False, until=min(end, check))
    if not candidate.skip and (verdict := _overall(candidate)) is not VerdictValue.PASS:
        return evidence_wait(candidate, verdict, context)
    if (wait := _awaited_gateway(context)) is not None:
        return wait  # somebody changed a route or a slot since: stable's slot, full of traffic, must not be re-pointed
    if candidate.skip:
        return promoted(context, message="promoted by a person, who ended the bake")
    return promoted(context, message=_worded(candidate.verdicts))


def _worded(verdicts: tuple[Verdict, ...]) -> str:
    return "; ".join(v.message for v in verdicts)
