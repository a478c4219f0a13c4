"""The conditions: metav1.Condition, kstatus-compatible (Reconciling and Stalled are true when abnormal).

`lastTransitionTime` moves only when `status` flips. A condition that can't be told just now
(a route write in flight, a step before its first check) keeps what it said.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelrelease.domain.analysis.extras import SPLIT
from modelrelease.domain.analysis.golden import METRIC as GOLDEN
from modelrelease.domain.context import Context, Wait, slot_ready
from modelrelease.domain.evidence import JUDGED
from modelrelease.domain.observed import GatewayFacts, Slot
from modelrelease.domain.problem import Problem
from modelrelease.domain.repair import DAMAGED, rebuilds
from modelrelease.domain.status import Condition, Stage, VerdictValue


@dataclass(frozen=True, kw_only=True)
class Said:
    """A condition without its bookkeeping. `status` None keeps the former condition."""

    status: bool | str | None
    reason: str
    message: str


def conditions(context: Context, *, wait: Wait | None, overdue: bool) -> tuple[Condition, ...]:
    """Return all conditions, in a fixed order."""
    said = {
        "Ready": _ready(context),
        "Reconciling": _reconciling(context),
        "Stalled": _stalled(context, wait=wait, overdue=overdue),
        "BuildSucceeded": _build_succeeded(context),
        "RouteReady": _route_ready(context, wait),
        "AnalysisHealthy": _analysis_healthy(context, wait),
    }
    former = {condition.type: condition for condition in context.observed.status.conditions}
    return tuple(_kept(context, kind, what, former.get(kind)) for kind, what in said.items())


def _kept(context: Context, kind: str, said: Said, former: Condition | None) -> Condition:
    generation = context.observed.meta.generation
    if said.status is None and former is not None:
        return Condition(
            type=kind,
            status=former.status,
            reason=former.reason,
            message=former.message,
            last_transition_time=former.last_transition_time,
            observed_generation=generation,
        )
    status = str(said.status) if said.status is not None else "Unknown"
    same = former is not None and former.status == status
    return Condition(
        type=kind,
        status=status,
        reason=said.reason,
        message=said.message,
        last_transition_time=former.last_transition_time if same and former else context.now,
        observed_generation=generation,
    )


def _ready(context: Context) -> Said:
    status, observed = context.status, context.observed
    stable, candidate = status.stable, status.candidate
    if stable is None:
        return Said(status=False, reason="NoStableRevision", message="no revision serves yet")
    # After promotion the candidate slot serves stable until the stable slot selects it, too.
    roles = {stable.revision, *([candidate.revision] if candidate and candidate.stage is Stage.BAKE else [])}
    slots = (Slot.STABLE, Slot.CANDIDATE)
    serving = any(slot_ready(observed, slot, revision) for slot in slots for revision in roles)
    facts = observed.deployments.get(stable.revision)
    problem = facts.problem if facts else None
    if not serving:
        message = f"version {stable.version} has no ready pod behind its slot{_why(problem)}"
        return Said(status=False, reason="StableUnavailable", message=message)
    if facts and problem:
        message = f"version {stable.version} serves with {facts.ready} of {facts.replicas} pods{_why(problem)}"
        return Said(status=True, reason="Degraded", message=message)
    if status.rejected:
        message = f"version {stable.version} serves; the spec's revision was rejected: {status.rejected.message}"
        return Said(status=True, reason="RolledBack", message=message)
    return Said(status=True, reason="Serving", message=f"version {stable.version} serves")


def _why(problem: Problem | None) -> str:
    return f" ({problem.reason}): {problem.message}" if problem else ""


def _reconciling(context: Context) -> Said:
    status = context.status
    if status.candidate:
        message = f"version {status.candidate.version} is in stage {status.candidate.stage}"
        return Said(status=True, reason=str(status.candidate.stage), message=message)
    if status.stable and status.stable.revision != context.target and not status.rejected:
        return Said(status=True, reason="Pending", message="the spec asks for a revision that was not begun")
    if status.retired:
        return Said(status=True, reason="Retiring", message="pods without a role go after scaleDownDelay")
    return Said(status=False, reason="AtRest", message="nothing to do")


def _stalled(context: Context, *, wait: Wait | None, overdue: bool) -> Said:
    rejected = context.status.rejected
    if rejected and context.status.candidate is None:
        again = "build the artifact again" if rejected.reason in DAMAGED else "try the same again"
        message = f"{rejected.message}. Change the spec, or run `modelrelease retry` to {again}"
        return Said(status=True, reason=rejected.reason, message=message)
    if overdue and wait:
        message = f"no progress within spec.rollout.progressDeadline; it holds, waiting for {wait.what}"
        return Said(status=True, reason="ProgressDeadlineExceeded", message=message)
    return Said(status=False, reason="Progressing", message="no person is needed")


def _build_succeeded(context: Context) -> Said:
    status, target = context.status, context.target
    stable_is_target = status.stable is not None and status.stable.revision == target
    in_hand = status.candidate is not None and status.candidate.revision == target and status.candidate.artifact
    again = rebuilds(context) and not in_hand
    if (target in context.observed.records and not again) or stable_is_target or in_hand:
        return Said(status=True, reason="Built", message="the artifact is known by its digest")
    if status.rejected and status.rejected.revision == target:
        return Said(status=False, reason=status.rejected.reason, message=status.rejected.message)
    return Said(status="Unknown", reason="Building", message="the artifact is not built yet")


def _route_ready(context: Context, wait: Wait | None) -> Said:
    observed = context.observed
    gateway = observed.gateway
    if isinstance(gateway, GatewayFacts) and gateway.problem:
        return Said(status=False, reason=gateway.problem.reason, message=gateway.problem.message)
    if wait and wait.reason in ("ArmsIndistinguishable", "MirrorUnsupported"):
        return Said(status=False, reason=wait.reason, message=f"waiting for {wait.what}")
    if context.status.stable is None or not observed.routes:
        return Said(status=None, reason="NoRoute", message="the route follows the first stable revision")
    problem = next((route.problem for route in observed.routes.values() if route.problem), None)
    if problem:
        return Said(status=False, reason=problem.reason, message=problem.message)
    if set(observed.routes) >= set(observed.protocols) and all(r.accepted for r in observed.routes.values()):
        return Said(status=True, reason="Accepted", message="the gateway has accepted every route")
    return Said(status=None, reason="Pending", message="the gateway has not answered yet")


def _analysis_healthy(context: Context, wait: Wait | None) -> Said:
    candidate = context.status.candidate
    if wait and wait.reason == "MetricsUnavailable":
        return Said(status=False, reason=wait.reason, message=wait.what)
    if candidate is None or candidate.stage not in JUDGED:
        return Said(status="Unknown", reason="NoAnalysis", message="no candidate has traffic or copies of it")
    error = next((v for v in candidate.verdicts if v.verdict is VerdictValue.ERROR and not v.advisory), None)
    if error:
        reason = {SPLIT: "TrafficSplit", GOLDEN: "GoldenOutdated"}.get(error.metric, "MetricsUnavailable")
        return Said(status=False, reason=reason, message=error.message)
    evidence = context.observed.evidence
    if candidate.verdicts or (evidence is not None and evidence.error is None):
        return Said(status=True, reason="EvidenceArrives", message="evidence arrives")
    return Said(status=None, reason="FirstCheck", message="the first check of this weight is ahead")
