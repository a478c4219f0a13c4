"""The decision: from everything that was observed to one plan. Pure, total, deterministic.

A release is a candidate walking through stages (`stages`, `rollout`); what must exist for a
status is worked out apart (`converge`), and how it is told to people as well (`explain`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from modelrelease.domain import commands, rollout, stages
from modelrelease.domain.commands import Command, Verb
from modelrelease.domain.context import RECHECK, Context, Wait
from modelrelease.domain.converge import converge
from modelrelease.domain.evidence import clock
from modelrelease.domain.explain import announce, explain, steady
from modelrelease.domain.mirroring import copies_refused
from modelrelease.domain.observed import GatewayFacts, Observed, Slot
from modelrelease.domain.plan import Plan
from modelrelease.domain.policy import OnDeadline
from modelrelease.domain.problem import Problem
from modelrelease.domain.status import Candidate, Outcome, Retired, Stable, Stage, Status, Verdict

_MOVES = 12  # more than any chain of transitions; a guard against a cycle, tested by a property

_STAGES = {
    Stage.BUILD: stages.build,
    Stage.DEPLOY: stages.deploy,
    Stage.SHADOW: rollout.shadow,
    Stage.STEP: rollout.step,
    Stage.BAKE: rollout.bake,
    Stage.RETREAT: stages.retreat,
}


def decide(observed: Observed, now: datetime) -> Plan:
    """Return what to do next.

    Rests on `observed` alone: called again with the same facts it answers the same, and with
    the facts that its own plan brought about it moves on.
    """
    context = Context(observed=observed, status=_adopt(observed, now), now=now)
    context = replace(context, status=_latch(context))
    wait: Wait | None = None
    judged: tuple[Verdict, ...] = ()
    for _ in range(_MOVES):
        moved = _move(context)
        if isinstance(moved, Status):
            if (candidate := moved.candidate) is not None and candidate.verdicts_at == now:
                judged = candidate.verdicts
            context = replace(context, status=moved)
            continue
        wait = moved
        break
    context = replace(context, status=_retire(context))
    context, wait, overdue = _deadline(context, wait)
    status = steady(old=observed.status, new=explain(context, wait=wait, overdue=overdue))
    context = replace(context, status=status)
    return Plan(
        status=status,
        wants=converge(context),
        announce=announce(old=observed.status, new=status),
        wake_at=_wake_at(context, wait),
        judged=judged,
    )


def _move(context: Context) -> Status | Wait | None:
    """Make one transition, or say what is awaited; None at rest."""
    candidate = context.status.candidate
    if candidate is None:
        return stages.start(context)
    replaceable = candidate.stage not in (Stage.RETREAT, Stage.BAKE)
    if replaceable and candidate.revision != context.target:
        message = f"replaced by version {context.spec.model.version}"
        return context.retreat(outcome=Outcome.SUPERSEDED, reason="Superseded", message=message)
    if (refused := copies_refused(context)) is not None:
        return refused
    return _STAGES[candidate.stage](context)


def _adopt(observed: Observed, now: datetime) -> Status:
    """Return the status, or after its loss what the stable slot and its record tell.

    The stable slot exists only once a revision was promoted, so what it selects is stable.
    """
    status, slot = observed.status, observed.slots.get(Slot.STABLE)
    if status.stable is not None or slot is None or slot.revision not in observed.records:
        return status
    record = observed.records[slot.revision]
    stable = Stable(
        revision=record.revision,
        version=record.version,
        artifact=record.result.artifact,
        replicas=slot.ready.get(slot.revision, 0),
        since=now,
    )
    return replace(status, stable=stable)


def _latch(context: Context) -> Status:
    """Take the commands that were not seen before, each once; those that mean nothing here are only latched."""
    status = context.status
    for latch, command in commands.unhandled(context.observed.meta.annotations, status.handled):
        status = replace(status, handled=(*status.handled, latch)[-commands.HANDLED_LIMIT :])
        if command is not None:
            status = _obey(replace(context, status=status), command)
    return status


def _obey(context: Context, command: Command) -> Status:
    status, candidate = context.status, context.status.candidate
    if command.verb is Verb.RETRY:
        rejected = status.rejected
        meant = rejected and (rejected.revision, rejected.attempt) == (command.revision, command.attempt)
        return replace(status, rejected=None) if meant else status
    if candidate is None or not command.means(candidate) or candidate.stage is Stage.RETREAT:
        return status
    if command.verb is Verb.ABORT:
        return context.retreat(outcome=Outcome.ABORTED, reason="Aborted", message="aborted by a person")
    promote = command.verb is Verb.PROMOTE
    if candidate.stage not in (Stage.STEP, Stage.BAKE) and not (promote and candidate.stage is Stage.SHADOW):
        return status
    obeyed = replace(candidate, skip=candidate.skip or promote, approved=candidate.approved or not promote)
    return replace(status, candidate=obeyed)


def _retire(context: Context) -> Status:
    """Keep the list of revisions that run without a role, each since when."""
    status = context.status
    roles = {owner.revision for owner in (status.stable, status.candidate) if owner}
    since = {retired.revision: retired for retired in status.retired}
    idle = [revision for revision in context.observed.deployments if revision not in roles]
    retired = tuple(since.get(rev, Retired(revision=rev, at=context.now)) for rev in sorted(idle))
    return replace(status, retired=retired)


def _deadline(context: Context, wait: Wait | None) -> tuple[Context, Wait | None, bool]:
    """Apply `progressDeadline`: hold and say so, or roll back; waits that do not count stop the clock."""
    candidate = context.status.candidate
    if candidate is None or wait is None or candidate.stage is Stage.RETREAT:
        return context, wait, False
    before = context.observed.status.waiting_for
    if wait.counts and before is not None and not before.counts:
        candidate = replace(candidate, progress_at=context.now)
        context = replace(context, status=context.with_candidate(candidate))
    end = context.after(candidate.progress_at, context.spec.rollout.progress_deadline)
    if not wait.counts or context.now < end:
        return context, wait, False
    if context.spec.rollout.on_deadline is OnDeadline.HOLD:
        return context, wait, True
    message = f"no progress within spec.rollout.progressDeadline while waiting for {wait.what}"
    problem = Problem(reason="ProgressDeadlineExceeded", message=message)
    context = replace(context, status=context.lose(problem))
    return context, Wait(reason="RollingBack", what="traffic to go back to stable", who="the gateway"), False


def _wake_at(context: Context, wait: Wait | None) -> datetime | None:
    """Return when a clock, and no event, brings the next change."""
    moments: list[datetime] = []
    delay = context.spec.rollout.scale_down_delay
    moments += [context.after(retired.at, delay) for retired in context.status.retired]
    candidate: Candidate | None = context.status.candidate
    if candidate is not None and candidate.stage is Stage.RETREAT:
        moments.append(context.after(context.now, RECHECK))
    elif candidate is not None:
        started = clock(candidate)
        moments += [context.next_check(started)] if started else []
        moments += [wait.until] if wait and wait.until else []
        deadline = context.after(candidate.progress_at, context.spec.rollout.progress_deadline)
        moments += [deadline] if wait and wait.counts and deadline > context.now else []
    elif _unrouted(context):
        moments.append(context.after(context.now, RECHECK))
    ahead = [moment for moment in moments if moment > context.now]
    # A moment that has passed without effect (a removal that must wait for the gateway) is looked at again soon.
    return min([*ahead, *([context.after(context.now, RECHECK)] if len(ahead) < len(moments) else [])], default=None)


def _unrouted(context: Context) -> bool:
    """Tell whether stable has no route because of the Gateway, which sends no event when it gets well."""
    observed, gateway = context.observed, context.observed.gateway
    routed = set(observed.routes) >= set(observed.protocols)
    well = isinstance(gateway, GatewayFacts) and gateway.problem is None
    return context.status.stable is not None and not routed and not well
