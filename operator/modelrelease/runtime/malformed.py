"""The status of an object that this version can't read: nothing in it is lost, and it says what is wrong.

The API server checks every object against the CRD, so this is about versions: an object
written for a newer CRD, or a status by a newer operator.
"""

from __future__ import annotations

from datetime import datetime

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import codec


def stalled(release: Manifest, *, message: str, now: datetime) -> Manifest:
    """Return the release's status with the condition Stalled and everything else as it was."""
    status = dict(release.get("status") or {})
    part = "status" if message.startswith("status") else "spec"
    reason = "InvalidStatus" if part == "status" else "InvalidSpec"
    fix = "use an operator that knows it, or remove it" if part == "status" else "correct it"
    told = f"{message}; {fix}. Until then nothing is changed, and what serves goes on serving"
    conditions: list[Manifest] = list(status.get("conditions") or [])
    former: Manifest = next((c for c in conditions if c.get("type") == "Stalled"), {})
    moved = former.get("status") != "True"
    condition = {
        "type": "Stalled",
        "status": "True",
        "reason": reason,
        "message": told,
        "lastTransitionTime": codec.format_time(now) if moved else former.get("lastTransitionTime"),
        "observedGeneration": release["metadata"]["generation"],
    }
    kept = [c for c in conditions if c.get("type") != "Stalled"]
    return {
        **status,
        "observedGeneration": release["metadata"]["generation"],
        "message": told,
        "conditions": [*kept, condition],
    }
