"""Build Jobs: running, done with an answer, or failed with a reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from modelrelease.adapters.facts.objects import Object, condition, items, labels, newest, part, sentence
from modelrelease.adapters.facts.pods import answer, pod_failure, pod_problem
from modelrelease.domain import codec, measured, naming
from modelrelease.domain.observed import BuildResult, Contract, JobFacts, JobState
from modelrelease.domain.problem import Problem
from modelrelease.domain.status import Artifact

_MOUNTED = "file:///artifacts/"  # where the Job mounts the claim of a `pvc://` store

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_URI_LIMIT = 2048


def job_facts(job: Object, pods: Sequence[Object], events: Sequence[Object] = ()) -> JobFacts:
    """Return the facts of a build Job from it, its pods, and Events about it where it has no pod."""
    state = _state(job)
    result, problem = None, None
    if state is JobState.SUCCEEDED and pods and not any(_phase(pod) == "Succeeded" for pod in pods):
        state = JobState.ACTIVE  # the Job's end was seen before its pod's: the answer is on the way
    if state is JobState.SUCCEEDED:
        result, problem = _answer(job, newest(pods))
    elif state is JobState.FAILED:
        problem = _failure(job, newest(pods))
    else:
        problem = _obstacle(job, newest(pods), events)
    meta = job["metadata"]
    return JobFacts(
        name=meta["name"],
        artifact_key=labels(job).get(naming.LABEL_ARTIFACT, ""),
        attempt=int(labels(job).get(naming.LABEL_ATTEMPT, "0")),
        state=state,
        result=result,
        problem=problem,
        uid=meta.get("uid", ""),
        resource_version=meta.get("resourceVersion", ""),
    )


def build_result(answer: dict[str, Any]) -> BuildResult:
    """Return the result that the builder's termination message holds.

    Raises:
        Malformed: the message is not such a result.
    """
    metrics = measured.metrics(answer.get("metrics"), "metrics")
    artifact = codec.decode(Artifact, answer)
    if not _DIGEST.fullmatch(artifact.digest):
        raise codec.Malformed(f"digest: expected sha256: and 64 hexadecimal digits, got {artifact.digest[:80]!r}")
    if not 0 < len(artifact.uri) <= _URI_LIMIT:
        raise codec.Malformed(f"uri: expected 1 to {_URI_LIMIT} characters, got {len(artifact.uri)}")
    compared = answer.get("stable")
    if compared is not None and not _DIGEST.fullmatch(str(compared)):
        raise codec.Malformed(f"stable: expected sha256: and 64 hexadecimal digits, got {str(compared)[:80]!r}")
    return BuildResult(
        artifact=artifact,
        contract=codec.decode(Contract, answer),
        metrics=metrics,
        compared=compared,
    )


def _state(job: Object) -> JobState:
    if condition(job, "Complete").get("status") == "True":
        return JobState.SUCCEEDED
    return JobState.FAILED if condition(job, "Failed").get("status") == "True" else JobState.ACTIVE


def _phase(pod: Object) -> str:
    return str(part(pod, "status").get("phase", ""))


def _located(result: BuildResult, job: Object) -> BuildResult:
    """Return the result with the claim that the Job mounted in its URI: a path alone says not which claim."""
    volumes = items(job, "spec", "template", "spec", "volumes")
    claims = [part(v, "persistentVolumeClaim").get("claimName") for v in volumes]
    claim = next((name for name in claims if name), None)
    uri = result.artifact.uri
    if claim is None or not uri.startswith(_MOUNTED):
        return result
    return replace(result, artifact=replace(result.artifact, uri=f"pvc://{claim}/{uri.removeprefix(_MOUNTED)}"))


def _answer(job: Object, pods: list[Object]) -> tuple[BuildResult | None, Problem | None]:
    for pod in pods:
        if _phase(pod) != "Succeeded":
            continue
        said = answer(pod)
        try:
            return _located(build_result(said or {}), job), None
        except codec.Malformed as error:
            message = f"the build's answer is unreadable ({error}); use a builder image that fits this operator"
            return None, Problem(reason="BuildAnswerUnreadable", message=message, fatal=True)
    message = "the build succeeded but its pod, which holds the answer, is gone; retry the release"
    return None, Problem(reason="BuildAnswerLost", message=message, fatal=True)


def _failure(job: Object, pods: list[Object]) -> Problem:
    failed = condition(job, "Failed")
    reason, said = failed.get("reason", ""), sentence(failed.get("message") or "")
    cause = next((found for pod in pods if (found := pod_failure(pod))), None)
    if reason == "DeadlineExceeded":
        stuck = cause or next((found for pod in pods if (found := pod_problem(pod))), None)
        limit = part(job, "spec").get("activeDeadlineSeconds")
        why = f"; last seen: {stuck.message}" if stuck else ""
        message = f"the build took longer than build.activeDeadlineSeconds ({limit} s){why}; raise it or make it faster"
        return Problem(reason="BuildDeadlineExceeded", message=message, fatal=True)
    if cause is None:
        message = f"the build failed: {said or reason or 'no reason given'}; its pods are gone, see the Job's events"
        return Problem(reason="BuildFailed", message=message, fatal=True)
    tries = part(job, "status").get("failed", 1)
    times = f" (last of {tries} tries)" if reason == "BackoffLimitExceeded" and tries > 1 else ""
    return Problem(reason=cause.reason, message=f"{cause.message}{times}", fatal=True)


def _obstacle(job: Object, pods: list[Object], events: Sequence[Object]) -> Problem | None:
    """Return what a running Job is stuck on. None of it is final: the Job itself decides when to give up."""
    if not pods:
        return _not_created(events)
    youngest = pods[0]
    found = pod_problem(youngest) if part(youngest, "status").get("phase") == "Pending" else pod_failure(youngest)
    if found is None:
        return None
    tries, limit = part(job, "status").get("failed", 0), part(job, "spec").get("backoffLimit", 6)
    again = f" (try {tries} of {limit + 1}, tried again soon)" if tries else ""
    return Problem(reason=found.reason, message=f"{found.message}{again}", waiting=found.waiting, what=found.what)


def _not_created(events: Sequence[Object]) -> Problem | None:
    refused = [e for e in events if e.get("reason") == "FailedCreate"]
    if not refused:
        return None
    said = sentence(newest(refused)[0].get("note") or newest(refused)[0].get("message") or "")
    return refusal(said)


def refusal(said: str) -> Problem:
    """Return the problem of a controller that may not create pods, in the API server's words."""
    if "exceeded quota" in said:
        message = f"{said}; free some of the quota or raise it"
        return Problem(reason="QuotaExceeded", message=message, waiting=True, what="room in the ResourceQuota")
    return Problem(reason="PodsRefused", message=f"pods can't be created: {said}")


__all__ = ["build_result", "job_facts", "refusal"]
