"""What the clock will bring next, derived from the status as the operator derives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from modelrelease.cli.release import Release
from modelrelease.domain.context import Context
from modelrelease.domain.evidence import JUDGED, clock
from modelrelease.domain.observed import Meta, Observed
from modelrelease.domain.status import Candidate, Stage


@dataclass(frozen=True, kw_only=True)
class Due:
    """Something that happens at a moment without anybody's doing."""

    at: datetime
    what: str


def upcoming(release: Release, now: datetime) -> tuple[Due, ...]:
    """Return what is due, the soonest first; what should have happened already is left out."""
    context = context_of(release, now)
    found = _removals(context)
    candidate = release.status.candidate
    if candidate is not None and candidate.stage is not Stage.RETREAT:
        found += [*_checks(context, candidate), *_deadline(context, candidate)]
    return tuple(sorted((due for due in found if due.at > now), key=lambda due: due.at))


def context_of(release: Release, now: datetime) -> Context:
    """Return what the operator derives its clocks from: spec and status, without any other fact."""
    meta = Meta(
        name=release.name, namespace=release.namespace, uid="", generation=release.generation, resource_version=""
    )
    return Context(
        observed=Observed(meta=meta, spec=release.spec, status=release.status), status=release.status, now=now
    )


def _checks(context: Context, candidate: Candidate) -> list[Due]:
    started, rollout = clock(candidate), context.spec.rollout
    if started is None or candidate.stage not in JUDGED:
        return []
    found = [Due(at=context.next_check(started), what="next analysis")]
    if candidate.stage is Stage.BAKE:
        found.append(Due(at=context.after(started, rollout.bake.duration), what="the bake ends"))
    elif candidate.stage is Stage.SHADOW and rollout.shadow is not None:
        found.append(Due(at=context.after(started, rollout.shadow.duration), what="the shadow ends"))
    elif candidate.step is not None:
        policy = rollout.analysis
        found.append(Due(at=context.after(started, policy.warmup + policy.min_duration), what="the least time ends"))
        undecided = f"without a verdict: {policy.on_inconclusive}"
        found.append(Due(at=context.after(started, policy.step_deadline), what=undecided))
        if (pause := context.pause()) is not None and pause.duration is not None:
            found.append(Due(at=context.after(started, pause.duration), what="the pause ends"))
    return found


def _deadline(context: Context, candidate: Candidate) -> list[Due]:
    awaited = context.status.waiting_for
    if awaited is not None and not awaited.counts:
        return []
    at = context.after(candidate.progress_at, context.spec.rollout.progress_deadline)
    return [Due(at=at, what=f"without progress: {context.spec.rollout.on_deadline}")]


def _removals(context: Context) -> list[Due]:
    delay = context.spec.rollout.scale_down_delay
    return [
        Due(at=context.after(retired.at, delay), what=f"servers of {retired.revision} end")
        for retired in context.status.retired
    ]
