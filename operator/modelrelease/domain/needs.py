"""What a decision needs to know that no watch tells: worked out before it is read, and only when due."""

from __future__ import annotations

from datetime import datetime

from modelrelease.domain.context import Context
from modelrelease.domain.evidence import JUDGED, due_window, first_window
from modelrelease.domain.observed import Observed, Slot
from modelrelease.domain.plan import Needs
from modelrelease.domain.status import Stage


def needs(observed: Observed, now: datetime, checked: datetime | None) -> Needs:
    """Return what to read now. `checked` is when evidence was last read by this process, None after a restart."""
    candidate = observed.status.candidate
    context = Context(observed=observed, status=observed.status, now=now)
    routed = set(observed.routes) >= set(observed.protocols)
    if candidate is None:
        return Needs(gateway=observed.status.stable is not None and not routed)
    if candidate.stage is Stage.DEPLOY:
        facts, preview = observed.deployments.get(candidate.revision), observed.slots.get(Slot.PREVIEW)
        if facts is None or not facts.settled or preview is None or not preview.serves(candidate.revision):
            return Needs()
        window = first_window(context) if observed.status.stable is not None else None
        return Needs(probe=candidate.revision, gateway=True, window=window)
    if candidate.stage in JUDGED:
        return Needs(window=due_window(context, checked))
    return Needs()
