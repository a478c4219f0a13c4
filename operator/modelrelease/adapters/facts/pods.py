"""Why a pod does not do its work, each cause as one sentence with its remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from modelrelease.adapters.facts.objects import Object, condition, items, part, sentence
from modelrelease.domain.problem import Problem

# What the builder says of an artifact or a spec that no retry makes good. A missing key may still come.
_FINAL = frozenset({"ArtifactCorrupt", "ArtifactMissing", "BadSpec", "SignatureMissing", "SignatureMismatch"})
_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_REASON = re.compile(r"[A-Z][A-Za-z]{0,63}")  # what a condition may have as its reason
_INSUFFICIENT = re.compile(r"Insufficient ([\w./-]*\w)")
_EXIT_MEANING = {126: "the command can't be run", 127: "the command is not in the image", 139: "segmentation fault"}


def pod_problem(pod: Object) -> Problem | None:
    """Return what keeps a pod from working, None if nothing is known to."""
    return _unscheduled(pod) or _evicted(pod) or next(_container_problems(pod), None)


def pod_failure(pod: Object) -> Problem | None:
    """Return why a pod that failed did so, None if it did not."""
    if (evicted := _evicted(pod)) is not None:
        return evicted
    for status in _statuses(pod):
        if (ended := _terminated(status)) and ended.get("exitCode") != 0:
            return _exit_problem(pod, status, ended)
    if part(pod, "status").get("phase") != "Failed":
        return None
    said = sentence(part(pod, "status").get("message") or "the cluster gave no reason")
    return Problem(reason=part(pod, "status").get("reason") or "PodFailed", message=f"the pod failed: {said}")


def answer(pod: Object) -> dict[str, Any] | None:
    """Return the JSON that the pod's container left in its termination message."""
    for status in items(pod, "status", "containerStatuses"):
        said = _said(_terminated(status))
        if said is not None:
            return said
    return None


def _unscheduled(pod: Object) -> Problem | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    said = sentence(scheduled.get("message") or "no node takes the pod")
    lowered = said.lower()
    if "persistentvolumeclaim" in lowered:
        return _volume_problem(said, lowered)
    lacking = _INSUFFICIENT.findall(said)
    # Of several resources, the extended one (a GPU) is the scarce one.
    resource = next((r for r in lacking if "/" in r), lacking[0] if lacking else "")
    what = f"{_requested(pod, resource)} {resource}".strip() if resource else "a node that takes the pod"
    message = f"no node has room for {pod['metadata']['name']}: {said}; free {resource or 'a node'} or add a node"
    if not resource:
        message = f"no node takes {pod['metadata']['name']}: {said}; check nodeSelector, tolerations and the nodes"
    return Problem(reason="Unschedulable", message=message, waiting=True, what=what)


def _volume_problem(said: str, lowered: str) -> Problem:
    if "not found" in lowered:
        message = f"{said}; create the claim, or correct build.artifactStore.uri"
        return Problem(reason="VolumeClaimMissing", message=message, what="the PersistentVolumeClaim to exist")
    message = f"{said}; the claim needs a PersistentVolume or a StorageClass that makes one"
    return Problem(reason="VolumeUnbound", message=message, waiting=True, what="the PersistentVolumeClaim to be bound")


def _requested(pod: Object, resource: str) -> str:
    """Return how much of a resource the pod asks for; the containers' sum where it can be added up."""
    asked = []
    for container in items(pod, "spec", "containers"):
        resources = part(container, "resources")
        amount = part(resources, "requests").get(resource) or part(resources, "limits").get(resource)
        if amount is not None:
            asked.append(str(amount))
    if len(asked) > 1 and all(a.isdigit() for a in asked):
        return str(sum(int(a) for a in asked))
    return " + ".join(asked)


def _evicted(pod: Object) -> Problem | None:
    status = part(pod, "status")
    if status.get("phase") != "Failed":
        return None
    if status.get("reason") == "Evicted":
        said = sentence(status.get("message") or "the node was under pressure")
        message = f"the pod was evicted: {said}; request what it needs in resources.requests"
        return Problem(reason="Evicted", message=message)
    disrupted = condition(pod, "DisruptionTarget")
    if disrupted.get("status") == "True":
        said = sentence(disrupted.get("message") or disrupted.get("reason", ""))
        return Problem(reason="Disrupted", message=f"the cluster took the pod away: {said}; it is tried again")
    return None


def _container_problems(pod: Object) -> Iterator[Problem]:
    for status in _statuses(pod):
        waiting = part(status, "state", "waiting")
        if waiting:
            problem = _waiting_problem(pod, status, waiting)
        elif part(status, "state", "running"):
            problem = _restarted(pod, status)
        else:
            ended = part(status, "state", "terminated")
            problem = _exit_problem(pod, status, ended) if ended.get("exitCode", 0) != 0 else None
        if problem is not None:
            yield problem


def _waiting_problem(pod: Object, status: Object, waiting: Object) -> Problem | None:
    reason, said = waiting.get("reason", ""), sentence(waiting.get("message") or "")
    if reason in _IMAGE_REASONS:
        image = _image(pod, status)
        fix = (
            "correct the name" if reason == "InvalidImageName" else "check its name, the registry and imagePullSecrets"
        )
        tail = f" ({said})" if said else ""
        message = f"image {image} can't be pulled{tail}; {fix}"
        return Problem(reason="ImagePull", message=message, what=f"image {image}")
    if reason in _CONFIG_REASONS:
        message = f"container {status.get('name')} can't be started: {said or reason}; create what is missing"
        return Problem(reason="ContainerConfig", message=message)
    if reason != "CrashLoopBackOff":
        return None
    return _restarted(pod, status)


def _restarted(pod: Object, status: Object) -> Problem | None:
    """Return why a container that is not ready was restarted, None if it was not."""
    ended, count = part(status, "lastState", "terminated"), status.get("restartCount", 0)
    if status.get("ready") or not ended or not count:
        return None
    crash = _exit_problem(pod, status, ended)
    if _said(ended) is not None:
        return crash
    times = "once" if count == 1 else f"{count} times"
    return replace(crash, message=f"{crash.message} (restarted {times}, not ready yet)")


def _exit_problem(pod: Object, status: Object, ended: Object) -> Problem:
    """Return why a container ended: in its own words where it left any."""
    name, code = status.get("name", "?"), ended.get("exitCode")
    said = part(_said(ended) or {}, "error")
    if said.get("message"):
        given = str(said.get("reason"))
        reason = given if _REASON.fullmatch(given) else "ContainerFailed"
        return Problem(reason=reason, message=sentence(str(said["message"]), 800), fatal=reason in _FINAL)
    if ended.get("reason") == "OOMKilled":
        limit = _memory_limit(pod, name)
        message = f"container {name} ran out of memory{limit}; raise resources.limits.memory"
        return Problem(reason="OOMKilled", message=message)
    meaning = _EXIT_MEANING.get(code if isinstance(code, int) else -1) or _signal(code)
    last = sentence((ended.get("message") or "").strip().rpartition("\n")[2])
    detail = "; ".join(text for text in (meaning, f"its last words: {last}" if last else "") if text)
    message = f"container {name} ended with exit code {code}" + (f": {detail}" if detail else "; see its log")
    return Problem(reason="ContainerFailed", message=message)


def _signal(code: object) -> str:
    return f"killed by signal {code - 128}" if isinstance(code, int) and 128 < code < 160 else ""


def _memory_limit(pod: Object, name: str) -> str:
    for container in (*items(pod, "spec", "containers"), *items(pod, "spec", "initContainers")):
        limit = part(container, "resources", "limits").get("memory")
        if container.get("name") == name and limit:
            return f" (limit {limit})"
    return ""


def _image(pod: Object, status: Object) -> str:
    for container in (*items(pod, "spec", "containers"), *items(pod, "spec", "initContainers")):
        if container.get("name") == status.get("name"):
            return str(container.get("image"))
    return str(status.get("image"))


def _statuses(pod: Object) -> list[Object]:
    return [*items(pod, "status", "initContainerStatuses"), *items(pod, "status", "containerStatuses")]


def _terminated(status: Object) -> Object:
    return part(status, "state", "terminated") or part(status, "lastState", "terminated")


def _said(ended: Object) -> dict[str, Any] | None:
    try:
        value = json.loads(ended.get("message") or "", parse_constant=_no_number)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _no_number(name: str) -> float:
    """Refuse NaN and infinities, which Python reads and the API server does not take back."""
    raise ValueError(f"{name} is no JSON number")
