"""A damaged artifact: whether the next try of a revision builds it again instead of taking what is recorded.

Nothing is latched for it: the history tells, which is written in one piece with the end of a try. An artifact is
addressed by its digest, and builds are reproducible, so that a build puts right what the store has lost or spoilt.
"""

from __future__ import annotations

from modelrelease.domain import naming
from modelrelease.domain.context import Context
from modelrelease.domain.observed import BuildResult, JobFacts, Slot
from modelrelease.domain.status import HistoryEntry, Outcome, Stage, Status

#: What a try ends with where the stored artifact is not what its digest says, or is gone.
DAMAGED = frozenset({"ArtifactCorrupt", "ArtifactMissing"})
#: What is said of a build that is there: a try that ends with it comes after the one that built again.
_JUDGED = frozenset({"GateFailed", "SchemaChanged"})


def damaged(status: Status, revision: str) -> bool:
    """Tell whether the last that is known of a revision's stored artifact is that it can't be used.

    A try that ended for something else on its way (aborted, no memory) tells nothing of the store.
    """
    for entry in status.history:
        if entry.revision == revision and entry.reason in DAMAGED:
            return True
        if entry.revision == revision and _usable(entry):
            return False
    return False


def _usable(entry: HistoryEntry) -> bool:
    served = entry.peak_weight > 0 or entry.outcome in (Outcome.PROMOTED, Outcome.ROLLED_BACK)
    return served or entry.reason in _JUDGED


def rebuilds(context: Context) -> bool:
    """Tell whether the candidate's artifact is built again: no record and no earlier Job counts for it."""
    candidate = context.status.candidate
    own = candidate is not None and candidate.revision == context.target
    building = candidate is not None and candidate.stage in (Stage.BUILD, Stage.DEPLOY)
    return own and building and damaged(context.status, context.target)


def leftover(context: Context) -> bool:
    """Tell whether pods of before the rebuild have to go first: they would tell of the old damage.

    Where a status was lost and stable is not known, a slot of the route may lead to some that serve: those stay.
    """
    if not rebuilds(context) or context.candidate.stage is not Stage.BUILD:
        return False
    revision, slots = context.candidate.revision, context.observed.slots
    routed = any(slot in slots and slots[slot].revision == revision for slot in (Slot.STABLE, Slot.CANDIDATE))
    return revision in context.observed.deployments and (context.status.stable is not None or not routed)


def find_job(context: Context) -> JobFacts | None:
    """Return the candidate's build Job."""
    key, attempt = naming.artifact_key(context.spec), context.candidate.attempt
    return next((j for j in context.observed.jobs if j.artifact_key == key and j.attempt == attempt), None)


def difference(context: Context, result: BuildResult) -> str | None:
    """Return a sentence about a rebuild that is not the recorded artifact, None where it is.

    A revision keeps the pod template that was rendered for it, and other revisions may share its artifact: neither
    may come to mean other bytes by itself.
    """
    recorded = recorded_result(context)
    if recorded is None or recorded.artifact == result.artifact:
        return None
    name = naming.deployment(context.observed.meta.name, context.target)
    old, new = recorded.artifact, result.artifact
    return (
        f"built again it is {new.digest} at {new.uri}, but {old.digest} at {old.uri} is what the revision serves: "
        "another kind of processor, or another build.artifactStore; restore the recorded artifact, "
        f"or delete the ControllerRevision {name} for a record of the new one, then retry"
    )


def recorded_result(context: Context) -> BuildResult | None:
    """Return the build result of the spec's artifact that any revision has on record."""
    records = context.observed.records
    if context.target in records:
        return records[context.target].result
    key = naming.artifact_key(context.spec)
    return next((record.result for record in records.values() if record.artifact_key == key), None)
