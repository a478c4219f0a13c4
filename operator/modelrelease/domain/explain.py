"""A status told to people: phase, message, what is awaited, Events; and when it is worth a write."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from modelrelease.domain.conditions import conditions
from modelrelease.domain.context import Context, Wait
from modelrelease.domain.evidence import clock
from modelrelease.domain.plan import Announce
from modelrelease.domain.stages import blocked
from modelrelease.domain.status import Candidate, Condition, Stage, Status, Verdict, VerdictValue, WaitingFor

EVIDENCE_REFRESH = timedelta(minutes=5)
FIRST_REFRESH = timedelta(minutes=1)  # of a weight: one that passes sooner is told by the next weight

_PHASE = {
    Stage.BUILD: "Building",
    Stage.DEPLOY: "Deploying",
    Stage.SHADOW: "Shadowing",
    Stage.STEP: "Progressing",
    Stage.BAKE: "Baking",
    Stage.RETREAT: "RollingBack",
}
_PAUSES = ("Approval", "Pause")
# Between these a step goes to and fro while evidence comes in: no reason to write, and told by the refresh.
_LOOKING = ("FirstCheck", "Traffic", "LeastTime")
_TOLD_AT_ONCE = (VerdictValue.FAIL, VerdictValue.ERROR)
_UNDECIDED = ("Inconclusive", "TrafficSplit", "GoldenOutdated")


def explain(context: Context, *, wait: Wait | None, overdue: bool) -> Status:
    """Return the status with everything that people read."""
    problem = context.observed.write_problem
    if problem is not None:
        wait = blocked(problem)
    status = replace(
        context.status,
        observed_generation=context.observed.meta.generation,
        conditions=conditions(context, wait=wait, overdue=overdue),
        phase=_phase(context, wait, overdue=overdue),
        step=_step(context.status.candidate),
        waiting_for=_waiting_for(context, wait),
    )
    return replace(status, message=_message(status))


def _phase(context: Context, wait: Wait | None, *, overdue: bool) -> str:
    status = context.status
    if status.candidate is None:
        if status.rejected:
            return "RolledBack" if status.stable else "Failed"
        return "Ready" if status.stable else "Pending"
    if wait and wait.reason == "Suspended":
        return "Suspended"
    if overdue or (wait and wait.reason in _UNDECIDED):
        return "Holding"
    if wait and wait.reason in _PAUSES:
        return "Paused"
    return _PHASE[status.candidate.stage]


def _step(candidate: Candidate | None) -> str:
    if candidate is None:
        return ""
    total = len(candidate.ladder)
    if candidate.stage is Stage.BAKE:
        return f"{total}/{total}"
    if candidate.stage is Stage.SHADOW:
        return f"0/{total}"
    return "" if candidate.step is None else f"{candidate.step + 1}/{total}"


def _waiting_for(context: Context, wait: Wait | None) -> WaitingFor | None:
    if wait is None:
        return None
    before = context.observed.status.waiting_for
    since = before.since if before and before.reason == wait.reason else context.now
    return WaitingFor(reason=wait.reason, what=wait.what, since=since, who=wait.who, counts=wait.counts)


def _message(status: Status) -> str:
    candidate = status.candidate
    awaits = f"; waiting for {status.waiting_for.what}" if status.waiting_for else ""
    if candidate is None:
        if status.rejected:
            return f"{status.rejected.reason}: {status.rejected.message}{awaits}"
        return (f"version {status.stable.version} serves" if status.stable else "nothing serves yet") + awaits
    if candidate.end is not None:
        return f"version {candidate.version} ends: {candidate.end.reason}: {candidate.end.message}{awaits}"
    facts = "; ".join(verdict.message for verdict in candidate.verdicts if not verdict.advisory)
    told = f": {facts}" if facts else ""
    if candidate.stage is Stage.STEP:
        return f"version {candidate.version}, step {status.step} at {candidate.weight.desired} %{told}{awaits}"
    if candidate.stage is Stage.BAKE:
        return f"version {candidate.version}, stage Bake at {candidate.weight.desired} %{told}{awaits}"
    return f"version {candidate.version}, stage {candidate.stage}{told}{awaits}"


def steady(*, old: Status, new: Status) -> Status:
    """Return the status to write: the old one, unless something changed that people or `decide` act on.

    Numbers that merely moved are refreshed a minute after the weight began and at most every five
    minutes later, while there is fresh evidence, so that nothing is written at rest and little under way.
    """
    if _significant(old) != _significant(new):
        return new
    candidate = new.candidate
    if candidate is None or candidate.verdicts_at is None:
        return old
    before = old.candidate.verdicts_at if old.candidate else None
    last, pace = (before, EVIDENCE_REFRESH) if before else (clock(candidate), FIRST_REFRESH)
    return new if last is not None and candidate.verdicts_at - last >= pace else old


def _significant(status: Status) -> Status:
    def plain(condition: Condition) -> Condition:
        # What keeps pods of stable away is told at once; its details move with every look of the scheduler.
        head = condition.message.partition(": ")[0] if condition.type == "Ready" else ""
        return replace(condition, message=head)

    candidate, awaited = status.candidate, status.waiting_for
    if candidate is not None:
        verdicts = tuple(
            Verdict(metric=v.metric, verdict=v.verdict, message="", advisory=v.advisory)
            for v in candidate.verdicts
            if v.verdict in _TOLD_AT_ONCE and not v.advisory  # all else that moves nothing is told by the refresh
        )
        candidate = replace(
            candidate,
            verdicts=verdicts,
            verdicts_at=None,
            weight=replace(candidate.weight, observed=None),
            analysis=None,
            bad_requests=0,
        )
    if awaited is not None:
        awaited = replace(awaited, what="", who="")
        if awaited.reason in _LOOKING and candidate is not None:
            awaited = replace(awaited, reason=_LOOKING[0], since=candidate.progress_at, counts=True)
    kept = tuple(plain(condition) for condition in status.conditions)
    return replace(status, message="", conditions=kept, candidate=candidate, waiting_for=awaited)


def announce(*, old: Status, new: Status) -> tuple[Announce, ...]:
    """Return the Events of a transition, at most a few a step."""
    said: list[Announce] = []
    before, candidate = old.candidate, new.candidate
    accepted = before.weight.accepted if before else 0
    if candidate and candidate.end is None and candidate.weight.accepted > accepted:
        share = candidate.weight.accepted
        reason = "Baking" if candidate.stage is Stage.BAKE else "WeightAccepted"
        said.append(_normal(reason, f"version {candidate.version} has {share} % of the traffic"))
    if candidate and candidate.end and (before is None or before.end is None):
        said.append(Announce(type="Warning", reason=candidate.end.reason, message=candidate.end.message))
    if new.stable and (old.stable is None or old.stable.revision != new.stable.revision):
        said.append(_normal("Promoted", f"version {new.stable.version} is stable"))
    said += _turned_bad(old, new)
    return tuple(said)


def _turned_bad(old: Status, new: Status) -> list[Announce]:
    former = {condition.type: condition.status for condition in old.conditions}
    bad = {"AnalysisHealthy": "False", "RouteReady": "False"}
    said = [
        Announce(type="Warning", reason=c.reason, message=c.message)
        for c in new.conditions
        if c.type in bad and c.status == bad[c.type] and former.get(c.type) != c.status
    ]
    deadline = next((c for c in new.conditions if c.type == "Stalled" and c.reason == "ProgressDeadlineExceeded"), None)
    if deadline and not any(c.type == "Stalled" and c.reason == deadline.reason for c in old.conditions):
        said.append(Announce(type="Warning", reason=deadline.reason, message=deadline.message))
    return said


def _normal(reason: str, message: str) -> Announce:
    return Announce(type="Normal", reason=reason, message=message)
