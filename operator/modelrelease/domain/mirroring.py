"""Which copies of live requests the routes should make: to the candidate until its bake, in the bake to stable."""

from __future__ import annotations

from modelrelease.domain.context import FULL, Context
from modelrelease.domain.observed import Mirror, Slot
from modelrelease.domain.status import Stage


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
