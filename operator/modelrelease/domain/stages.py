"""The stages of a candidate. Each function answers with the next status or with what it waits for.

A function moves at most one step and rests on observed facts alone; `decide` repeats them
until none moves. Whatever fails ends in `Retreat`, which is the one way out.
"""

from __future__ import annotations

from dataclasses import replace

from modelrelease.domain.admission import expose
from modelrelease.domain.context import FULL, RECHECK, SUSPENDED, Context, Wait
from modelrelease.domain.contract import contract_change
from modelrelease.domain.gates import failed_gate
from modelrelease.domain.naming import artifact_key, gates_hash
from modelrelease.domain.observed import BuildResult, GatewayFacts, JobState, Slot, Unknown
from modelrelease.domain.policy import SchemaChange
from modelrelease.domain.problem import Problem
from modelrelease.domain.repair import damaged, difference, find_job, leftover, rebuilds, recorded_result
from modelrelease.domain.status import (
    Candidate,
    HistoryEntry,
    Outcome,
    Rejected,
    Stable,
    Stage,
    Status,
)

HISTORY_LIMIT = 20


def start(context: Context) -> Status | Wait | None:
    """Begin with the revision that the spec asks for, unless it serves already or was rejected."""
    status, target = context.status, context.target
    rejected = status.rejected
    if rejected and (rejected.revision != target or _gates_changed(context, rejected)):
        return replace(status, rejected=None)
    if rejected or (status.stable and status.stable.revision == target):
        return None
    if context.spec.suspend:
        return SUSPENDED
    ladder = tuple(step.weight for step in context.spec.rollout.steps)
    return context.with_candidate(
        Candidate(
            revision=target,
            version=context.spec.model.version,
            attempt=_next_attempt(context),
            stage=Stage.BUILD,
            started_at=context.now,
            progress_at=context.now,
            ladder=ladder,
        )
    )


def _gates_changed(context: Context, rejected: Rejected) -> bool:
    judged_by_gates = rejected.reason == "GateFailed"
    return judged_by_gates and rejected.gates != gates_hash(context.spec.build.evaluation.gates)


def _next_attempt(context: Context) -> int:
    key, again = artifact_key(context.spec), damaged(context.status, context.target)
    jobs = [j for j in context.observed.jobs if j.artifact_key == key]
    spent = [j.attempt for j in jobs if again or j.state is JobState.FAILED]
    earlier = [entry.attempt for entry in context.status.history if entry.revision == context.target]
    return 1 + max([0, *spent, *earlier])


def known_result(context: Context) -> BuildResult | None:
    """Return the build result of the spec's artifact, if any revision or Job already has it.

    Of an artifact that has to be built again, only the candidate's own Job has one.
    """
    if rebuilds(context):
        job = find_job(context)
        return job.result if job else None
    if (recorded := recorded_result(context)) is not None:
        return recorded
    key = artifact_key(context.spec)
    return next((j.result for j in context.observed.jobs if j.artifact_key == key and j.result is not None), None)


def build(context: Context) -> Status | Wait:
    """Wait for the artifact, then hold it against the gates and the stable version's contract."""
    candidate = context.candidate
    result = known_result(context)
    if result is None:
        return _await_job(context)
    other = difference(context, result)
    if other:
        return context.retreat(outcome=Outcome.FAILED, reason="ArtifactDiffers", message=other)
    stable = context.stable_record()
    reason = failed_gate(
        gates=context.spec.build.evaluation.gates,
        result=result,
        stable=stable.result if stable else None,
    )
    if reason:
        return context.retreat(outcome=Outcome.FAILED, reason="GateFailed", message=f"{reason}; it got no traffic")
    change = contract_change(stable.result.contract, result.contract) if stable else None
    if change and context.spec.rollout.schema_change is SchemaChange.FORBID:
        message = f"{change}; if clients are ready for it, set spec.rollout.schemaChange to Allow"
        return context.retreat(outcome=Outcome.FAILED, reason="SchemaChanged", message=message)
    if context.spec.suspend:
        return SUSPENDED
    if leftover(context):
        return Wait(reason="Retiring", what="the pods that could not start to go", who="the cluster")
    return context.with_candidate(replace(candidate.at(Stage.DEPLOY, context.now), artifact=result.artifact))


def _await_job(context: Context) -> Status | Wait:
    job = find_job(context)
    if job is None or (job.state is JobState.ACTIVE and job.problem is None):
        again = "; it builds again what the store has lost or spoilt" if rebuilds(context) else ""
        return Wait(reason="Building", what=f"the build Job to finish{again}", who="the build Job")
    if job.state is JobState.ACTIVE and job.problem and not job.problem.fatal:
        return blocked(job.problem)
    problem = job.problem or Problem(reason="BuildFailed", message="the build Job ended without an answer")
    return context.lose(problem)


def blocked(problem: Problem) -> Wait:
    """Return the wait that a problem with a remedy means."""
    return Wait(
        reason=problem.reason,
        what=problem.what or problem.message,
        who="the cluster" if problem.waiting else "the release's owner",
        counts=not problem.waiting,
    )


def deploy(context: Context) -> Status | Wait:
    """Wait for pods, model and smoke test on the preview slot, then for a gateway that can be trusted."""
    observed, candidate = context.observed, context.candidate
    facts = observed.deployments.get(candidate.revision)
    if facts and facts.problem and facts.problem.fatal:
        return context.lose(facts.problem)
    if facts and facts.problem:
        return blocked(facts.problem)
    preview = observed.slots.get(Slot.PREVIEW)
    if facts is None or not facts.settled or preview is None or not preview.serves(candidate.revision):
        ready = f"{facts.ready} of {facts.replicas}" if facts else "none"
        return Wait(reason="Starting", what=f"candidate pods to be ready ({ready})", who="the cluster")
    probe = observed.probe
    if probe is None or probe.revision != candidate.revision or not probe.ready:
        if probe and probe.problem and probe.problem.fatal:
            return context.lose(probe.problem)
        what = probe.problem.message if probe and probe.problem else "Triton to answer the smoke test"
        return Wait(reason="Smoke", what=what, who="Triton", until=context.after(context.now, RECHECK))
    if (wait := _distrust(context)) is not None:
        return wait
    if context.spec.suspend:
        return SUSPENDED
    if context.status.stable is None:
        return promoted(context, message="first revision; nothing to compare it with")
    return expose(context)


def _distrust(context: Context) -> Wait | None:
    gateway, until = context.observed.gateway, context.after(context.now, RECHECK)
    if isinstance(gateway, Unknown):
        return Wait(reason="GatewayUnknown", what=gateway.message, who="the cluster", until=until)
    if gateway.problem:
        return replace(blocked(gateway.problem), until=until)
    if context.status.stable and not gateway.tells_slots_apart:
        return arms_indistinguishable(gateway, context)
    rollout = context.spec.rollout
    if context.status.stable and not gateway.mirrors and (rollout.shadow is not None or rollout.bake.mirror):
        field = "spec.rollout.shadow" if rollout.shadow is not None else "spec.rollout.bake.mirror"
        what = f"a gateway that copies requests (this operator knows Envoy Gateway), or a spec without {field}"
        return Wait(reason="MirrorUnsupported", what=what, who="the platform owner", until=until)
    return None


def arms_indistinguishable(_gateway: GatewayFacts, context: Context) -> Wait:
    """Return the wait of a gateway whose metrics mix stable and candidate: no evidence, no traffic."""
    what = "a gateway whose metrics tell stable and candidate apart (this operator knows Envoy Gateway)"
    until = context.after(context.now, RECHECK)
    return Wait(reason="ArmsIndistinguishable", what=what, who="the platform owner", until=until)


def promoted(context: Context, *, message: str) -> Status:
    """Return the status in which the candidate has become stable. The commit point of a release."""
    candidate, status = context.candidate, context.status
    assert candidate.artifact is not None
    facts = context.observed.deployments.get(candidate.revision)
    stable = Stable(
        revision=candidate.revision,
        version=candidate.version,
        artifact=candidate.artifact,
        replicas=facts.ready if facts else 0,
        since=context.now,
    )
    entry = history_entry(context, outcome=Outcome.PROMOTED, reason="Promoted", message=message)
    history = (entry, *status.history)[:HISTORY_LIMIT]
    return replace(status, stable=stable, candidate=None, rejected=None, history=history)


def history_entry(context: Context, *, outcome: Outcome, reason: str, message: str) -> HistoryEntry:
    """Return the candidate's line in the history."""
    candidate = context.candidate
    return HistoryEntry(
        version=candidate.version,
        revision=candidate.revision,
        attempt=candidate.attempt,
        outcome=outcome,
        reason=reason,
        message=message,
        started_at=candidate.started_at,
        finished_at=context.now,
        peak_weight=FULL if outcome is Outcome.PROMOTED else candidate.peak_weight,
        bad_requests=candidate.bad_requests,
    )


def retreat(context: Context) -> Status | Wait:
    """Wait until the gateway has accepted stable, and the candidate slot serves stable; then record the end."""
    observed, candidate, stable = context.observed, context.candidate, context.status.stable
    assert candidate.end is not None
    if stable is not None:
        if not all(route.candidate_at_floor for route in observed.routes.values()):
            return Wait(reason="RollingBack", what="the gateway to accept all traffic to stable", who="the gateway")
        slot = observed.slots.get(Slot.CANDIDATE)
        if slot is not None and slot.revision == candidate.revision:
            return Wait(reason="RollingBack", what="the candidate slot to select stable", who="the cluster")
    end = candidate.end
    entry = history_entry(context, outcome=end.outcome, reason=end.reason, message=end.message)
    history = (entry, *context.status.history)[:HISTORY_LIMIT]
    rejected = context.status.rejected
    if end.outcome is not Outcome.SUPERSEDED:
        rejected = Rejected(
            revision=candidate.revision,
            attempt=candidate.attempt,
            reason=end.reason,
            message=end.message,
            gates=gates_hash(context.spec.build.evaluation.gates),
        )
    return replace(context.status, candidate=None, history=history, rejected=rejected)
