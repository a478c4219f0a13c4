"""Which copies of live requests the routes should make: to the candidate until its bake, in the bake to stable."""

from __future__ import annotations

from dataclasses import replace

from modelrelease.domain.context import FULL, Context
from modelrelease.domain.observed import Mirror, Slot
from modelrelease.domain.status import Stage, Status


def mirror_target(context: Context) -> Mirror | None:
    """Return the copy that the routes should make now, None for none.

    At a step no more is copied than the candidate does not get anyway. A candidate that could not
    take its copies gets none for the rest of its attempt: one that comes and goes would prove nothing.
    """
    candidate, rollout = context.status.candidate, context.spec.rollout
    if candidate is None:
        return None
    if candidate.stage is Stage.BAKE:
        wanted = rollout.bake.mirror if candidate.bake_ended_at is None else 0
        return Mirror(slot=Slot.STABLE, percent=wanted) if wanted else None
    stopped = rollout.shadow is None or candidate.mirror_stopped is not None
    if stopped or candidate.stage not in (Stage.SHADOW, Stage.STEP):
        return None
    assert rollout.shadow is not None
    percent = min(rollout.shadow.percent, FULL - candidate.weight.desired)
    return Mirror(slot=Slot.PREVIEW, percent=percent)


def copies_refused(context: Context) -> Status | None:
    """Return the status without copies where the gateway refuses a route with them; None where it takes all.

    A gateway that can't follow a mirror answers every request of that route with an error: it can't wait
    for somebody to look.
    """
    mirror = mirror_target(context)
    if mirror is None or mirror.slot is not Slot.PREVIEW:
        return None
    routes = context.observed.routes.values()
    problem = next((route.problem for route in routes if route.mirror is not None and route.problem), None)
    if problem is None:
        return None
    return context.with_candidate(replace(context.candidate, mirror_stopped=problem.message))
