"""What a decision needs to know that no watch tells: worked out before it is read, and only when due."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from modelrelease.domain.observed import Observed, Slot
from modelrelease.domain.plan import Needs
from modelrelease.domain.rollout import clock
from modelrelease.domain.status import Candidate, Stage


def needs(observed: Observed, now: datetime, checked: datetime | None) -> Needs:
    """Return what to read now. `checked` is when evidence was last read by this process, None after a restart."""
    candidate = observed.status.candidate
    routed = set(observed.routes) >= set(observed.protocols)
    if candidate is None:
        return Needs(gateway=observed.status.stable is not None and not routed)
    if candidate.stage is Stage.DEPLOY:
        facts, preview = observed.deployments.get(candidate.revision), observed.slots.get(Slot.PREVIEW)
        up = facts is not None and facts.settled and preview is not None and preview.serves(candidate.revision)
        return Needs(probe=candidate.revision if up else None, gateway=up)
    if candidate.stage in (Stage.STEP, Stage.BAKE):
        return _evidence(observed, candidate, now, checked)
    return Needs()


def _evidence(observed: Observed, candidate: Candidate, now: datetime, checked: datetime | None) -> Needs:
    started = clock(candidate)
    if started is None:
        return Needs()
    interval = observed.spec.rollout.analysis.interval
    due = math.floor((now - started).total_seconds() / interval)
    boundary = started + timedelta(seconds=due * interval)
    if due < 1 or (checked is not None and checked >= boundary):
        return Needs()
    baseline = None
    if candidate.stage is Stage.BAKE and candidate.step_started_at is not None:
        # Stable has no traffic in the bake: its counts of the last step are what it is held against.
        baseline = (candidate.step_started_at, started)
    return Needs(evidence=(started, now), baseline=baseline)
