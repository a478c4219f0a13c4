"""Pods, Jobs and Deployments as a real cluster reports them."""

from __future__ import annotations

import json
from typing import Any

from modelrelease.domain import naming

Object = dict[str, Any]

GPU = {"limits": {"nvidia.com/gpu": "1", "memory": "4Gi"}}


def pod(name: str = "pod-1", *, phase: str = "Pending", created: str = "2026-11-01T12:00:00Z", **status: Any) -> Object:
    container = {"name": "triton", "image": "registry.example/triton:9", "resources": GPU}
    init = {"name": "pull", "image": "registry.example/builder:9"}
    return {
        "metadata": {"name": name, "namespace": "vision", "creationTimestamp": created, "labels": {}},
        "spec": {"containers": [container], "initContainers": [init]},
        "status": {"phase": phase, **status},
    }


def unscheduled(message: str) -> Object:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(conditions=[condition])


def waiting(reason: str, message: str = "", *, container: str = "triton", last: Object | None = None) -> Object:
    status: Object = {
        "name": container,
        "image": "sha256:0",
        "ready": False,
        "restartCount": 4 if last else 0,
        "state": {"waiting": {"reason": reason, "message": message}},
    }
    if last:
        status["lastState"] = {"terminated": last}
    field = "initContainerStatuses" if container == "pull" else "containerStatuses"
    return pod(**{field: [status]})


def ended(code: int, *, message: str = "", reason: str = "Error", **changes: Any) -> Object:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    status = {"name": "triton", "ready": False, "restartCount": 0, "state": state}
    return pod(phase="Failed" if code else "Succeeded", containerStatuses=[status], **changes)


def said(reason: str, message: str) -> str:
    return json.dumps({"error": {"reason": reason, "message": message}})


def job(*conditions: Object, **status: Any) -> Object:
    return {
        "metadata": {
            "name": "digits-build-abc-2",
            "namespace": "vision",
            "uid": "u1",
            "resourceVersion": "7",
            "labels": {naming.LABEL_ARTIFACT: "abc", naming.LABEL_ATTEMPT: "2"},
        },
        "spec": {"backoffLimit": 2, "activeDeadlineSeconds": 3600},
        "status": {"conditions": list(conditions), **status},
    }


def failed(reason: str, message: str = "") -> Object:
    return {"type": "Failed", "status": "True", "reason": reason, "message": message}


def deployment(*, replicas: int = 2, ready: int = 0, generation: int = 1, seen: int = 1, **status: Any) -> Object:
    return {
        "metadata": {
            "name": "digits-0123456789",
            "namespace": "vision",
            "generation": generation,
            "uid": "u2",
            "resourceVersion": "8",
            "labels": {naming.LABEL_REVISION: "0123456789"},
        },
        "spec": {"replicas": replicas},
        "status": {
            "observedGeneration": seen,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": ready,
            **status,
        },
    }
