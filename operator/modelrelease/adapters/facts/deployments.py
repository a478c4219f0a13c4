"""Serving Deployments: how many pods are ready, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence

from modelrelease.adapters.facts.jobs import refusal
from modelrelease.adapters.facts.objects import Object, condition, labels, newest, part, sentence
from modelrelease.adapters.facts.pods import pod_problem
from modelrelease.domain import naming
from modelrelease.domain.observed import DeploymentFacts
from modelrelease.domain.problem import Problem


def deployment_facts(deployment: Object, pods: Sequence[Object]) -> DeploymentFacts:
    """Return the facts of a revision's Deployment from it and its pods."""
    meta, status = deployment["metadata"], part(deployment, "status")
    replicas = part(deployment, "spec").get("replicas", 1)
    ready = status.get("readyReplicas", 0)
    seen = status.get("observedGeneration", 0) >= meta.get("generation", 0)
    counts = (status.get("replicas", 0), status.get("updatedReplicas", 0), ready)
    settled = seen and all(count == replicas for count in counts)
    return DeploymentFacts(
        revision=labels(deployment).get(naming.LABEL_REVISION, ""),
        replicas=replicas,
        ready=ready,
        settled=settled,
        problem=None if settled or replicas == 0 else _problem(deployment, pods),
        uid=meta.get("uid", ""),
        resource_version=meta.get("resourceVersion", ""),
    )


def _problem(deployment: Object, pods: Sequence[Object]) -> Problem | None:
    failure = condition(deployment, "ReplicaFailure")
    if failure.get("status") == "True":
        return refusal(sentence(failure.get("message") or ""))
    for pod in newest(pods):
        if "deletionTimestamp" in pod["metadata"] or condition(pod, "Ready").get("status") == "True":
            continue
        if (found := pod_problem(pod)) is not None:
            return found
    progressing = condition(deployment, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        message = "the model's pods run but do not become ready: Triton can't load the model in time; see their log"
        return Problem(reason="NotReady", message=message)
    return None
