"""What the clock will bring next, derived from the status as the operator derives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from modelrelease.cli.release import Release
from modelrelease.domain.context import Context
from modelrelease.domain.observed import Meta, Observed
from modelrelease.domain.status import Candidate, Stage


@dataclass(frozen=True, kw_only=True)
class Due:
    """Something that happens at a moment without anybody's doing."""

    at: datetime
    what: str


def upcoming(release: Release, now: datetime) -> tuple[Due, ...]:
    """Return what is due, the soonest first; what should have happened already is left out."""
    context = _context(release, now)
    found = _removals(context)
    candidate = release.status.candidate
    if candidate is not None and candidate.stage is not Stage.RETREAT:
        found += [*_checks(context, candidate), *_deadline(context, candidate)]
    return tuple(sorted((due for due in found if due.at > now), key=lambda due: due.at))


def _context(release: Release, now: datetime) -> Context:
    meta = Meta(
        name=release.name, namespace=release.namespace, uid="", generation=release.generation, resource_version=""
    )
    return Context(
        observed=Observed(meta=meta, spec=release.spec, status=release.status), status=release.status, now=now
    )


def _checks(context: Context, candidate: Candidate) -> list[Due]:
    baking = candidate.stage is Stage.BAKE
    started = candidate.bake_started_at if baking else candidate.step_started_at
    if started is None or candidate.stage not in (Stage.STEP, Stage.BAKE):
        return []
    found = [Due(at=context.next_check(started), what="next analysis")]
    if baking:
        found.append(Due(at=context.after(started, context.spec.rollout.bake.duration), what="the bake ends"))
    elif candidate.step is not None and (pause := context.pause()) is not None and pause.duration is not None:
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
