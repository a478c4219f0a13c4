"""The imperative verbs: from a release to the patch that orders it, or to a refusal in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelrelease.cli.errors import Refused
from modelrelease.cli.release import Release
from modelrelease.domain.commands import Verb, annotation, format_command, latch_id
from modelrelease.domain.repair import DAMAGED
from modelrelease.domain.status import Candidate, Stage


@dataclass(frozen=True, kw_only=True)
class Order:
    """A merge patch, what it does in words, and the latch that shows that the operator took it up."""

    patch: Mapping[str, Any]
    done: str
    latch: str | None = None


def order(verb: Verb, release: Release, *, token: str) -> Order:
    """Return the order for a verb.

    Raises:
        Refused: the verb means nothing for the release as it is.

    """
    return {Verb.APPROVE: _approve, Verb.PROMOTE: _promote, Verb.ABORT: _abort, Verb.RETRY: _retry}[verb](
        release, token
    )


def suspend(release: Release, *, wanted: bool) -> Order:
    """Return the order that pauses or resumes a release.

    Raises:
        Refused: it is so already.

    """
    if release.spec.suspend is wanted:
        raise Refused(f"{release.name} is {'paused already' if wanted else 'not paused'}: nothing to do")
    done = f"{release.name} is paused: nothing progresses, a rollback still happens; go on with: resume"
    return Order(patch={"spec": {"suspend": wanted}}, done=done if wanted else f"{release.name} goes on")


def _approve(release: Release, token: str) -> Order:
    candidate = _candidate(release, "approve")
    awaited = release.status.waiting_for
    if awaited is None or awaited.reason != "Approval" or candidate.step is None:
        waits = f"it waits for {awaited.what}" if awaited else "it waits for nothing"
        raise Refused(f"{release.name} awaits no approval: {waits}")
    done = f"approved step {candidate.step + 1} of {release.name} {candidate.version}"
    return _annotate(Verb.APPROVE, candidate, step=candidate.step, token=token, done=done)


def _promote(release: Release, token: str) -> Order:
    candidate = _candidate(release, "promote")
    if candidate.stage not in (Stage.STEP, Stage.BAKE):
        why = "it is moving back" if candidate.stage is Stage.RETREAT else "gates and readiness are never skipped"
        raise Refused(f"{release.name} {candidate.version} can not be promoted in stage {candidate.stage}: {why}")
    if candidate.stage is Stage.BAKE:
        done = f"ended the bake of {release.name} {candidate.version}"
        return _annotate(Verb.PROMOTE, candidate, step=None, token=token, done=done)
    done = f"waived the remaining steps of {release.name} {candidate.version}: it gets all the traffic and bakes"
    return _annotate(Verb.PROMOTE, candidate, step=candidate.step, token=token, done=done)


def _abort(release: Release, token: str) -> Order:
    candidate = _candidate(release, "abort")
    if candidate.stage is Stage.RETREAT:
        why = candidate.end.message if candidate.end else "it failed"
        raise Refused(f"{release.name} {candidate.version} is on its way back already: {why}")
    stable = release.status.stable
    back = f"traffic goes back to {stable.version}" if stable else "it had no traffic"
    done = f"aborted {release.name} {candidate.version}: {back}"
    return _annotate(Verb.ABORT, candidate, step=None, token=token, done=done)


def _retry(release: Release, token: str) -> Order:
    rejected = release.status.rejected
    if rejected is None:
        raise Refused(f"nothing of {release.name} failed: there is nothing to retry")
    value = format_command(revision=rejected.revision, attempt=rejected.attempt, step=None, token=token)
    rebuilt = "; its artifact is built again" if rejected.reason in DAMAGED else ""
    done = f"{release.name} {release.spec.model.version} is tried again (try {rejected.attempt + 1}){rebuilt}"
    return _order(Verb.RETRY, value, done)


def _candidate(release: Release, verb: str) -> Candidate:
    candidate = release.status.candidate
    if candidate is None:
        serves = f"{release.status.stable.version} serves" if release.status.stable else "nothing serves yet"
        raise Refused(f"{release.name} has no release under way to {verb}: {serves}")
    return candidate


def _annotate(verb: Verb, candidate: Candidate, *, step: int | None, token: str, done: str) -> Order:
    value = format_command(revision=candidate.revision, attempt=candidate.attempt, step=step, token=token)
    return _order(verb, value, done)


def _order(verb: Verb, value: str, done: str) -> Order:
    return Order(patch={"metadata": {"annotations": {annotation(verb): value}}}, done=done, latch=latch_id(verb, value))
