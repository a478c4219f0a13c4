"""The rest of the cluster, each part a step that a test takes when it likes.

Job controller, Deployment controller and kubelets, EndpointSlice controller, gateway, garbage
collector. Called again without news, each changes nothing.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from modelrelease.adapters.kinds import Manifest

from tests.fakes.cluster import Cluster

GATEWAY = "gateway.envoyproxy.io/gatewayclass-controller"

ANSWER: dict[str, Any] = {
    "digest": "sha256:" + "ab" * 32,
    "uri": "file:///artifacts/releases/abab",
    "metrics": {"accuracy": {"value": 0.97, "rows": 270}},
    "inputs": [{"name": "image", "datatype": "FP32", "shape": [64]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [10]}],
    "batchable": True,
    "seconds": 12.5,
}


# -- Jobs -----------------------------------------------------------------------------------


def start_job(cluster: Cluster, namespace: str, name: str) -> Manifest:
    """The Job controller makes the Job's next pod; return it."""
    job = cluster.at("Job", namespace, name)
    number = sum(1 for pod in cluster.all("Pod", namespace) if _owned(pod, job))
    template = job["spec"]["template"]
    pod = cluster.create(_pod(job, template, f"{name}-{number}", kind="Job"), manager="kube-controller-manager")
    _set_status(cluster, pod, {"phase": "Running"})
    return pod


def finish_job(cluster: Cluster, namespace: str, name: str, answer: Mapping[str, Any] = ANSWER) -> None:
    """The Job's pod says `answer` and the Job is complete."""
    pod = start_job(cluster, namespace, name)
    _end_pod(cluster, pod, code=0, message=json.dumps(answer))
    _conclude(cluster, namespace, name, {"type": "Complete", "status": "True"}, {"succeeded": 1})


def fail_job(
    cluster: Cluster,
    namespace: str,
    name: str,
    *,
    reason: str = "BackoffLimitExceeded",
    code: int = 1,
    message: str = "",
    container_reason: str = "Error",
) -> None:
    """The Job's pod fails, and the Job with it."""
    pod = start_job(cluster, namespace, name)
    _end_pod(cluster, pod, code=code, message=message, reason=container_reason)
    _conclude(
        cluster, namespace, name, {"type": "Failed", "status": "True", "reason": reason, "message": ""}, {"failed": 1}
    )


def _conclude(cluster: Cluster, namespace: str, name: str, condition: Manifest, counts: Manifest) -> None:
    _set_status(cluster, cluster.at("Job", namespace, name), {"conditions": [condition], **counts})


def _end_pod(cluster: Cluster, pod: Manifest, *, code: int, message: str, reason: str = "Completed") -> None:
    container = pod["spec"]["containers"][0]["name"]
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    status = {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [{"name": container, "ready": False, "restartCount": 0, "state": state}],
    }
    _set_status(cluster, pod, status)


# -- Deployments ----------------------------------------------------------------------------


def roll(cluster: Cluster, namespace: str, name: str, *, ready: int | None = None) -> None:
    """Make the Deployment's pods, `ready` of them ready (None: all), remove surplus ones, and report."""
    deployment = cluster.at("Deployment", namespace, name)
    wanted = deployment["spec"]["replicas"]
    pods = [pod for pod in cluster.all("Pod", namespace) if _owned(pod, deployment)]
    for surplus in pods[wanted:]:
        cluster.purge("Pod", namespace, surplus["metadata"]["name"])
    taken = {pod["metadata"]["name"] for pod in cluster.all("Pod", namespace)}  # those of a namesake wait for removal
    free = (f"{name}-6d5f-{number}" for number in itertools.count() if f"{name}-6d5f-{number}" not in taken)
    for _ in range(wanted - len(pods)):
        manifest = _pod(deployment, deployment["spec"]["template"], next(free), kind="Deployment")
        cluster.create(manifest, manager="kube-controller-manager")
    pods = [pod for pod in cluster.all("Pod", namespace) if _owned(pod, deployment)]
    count = wanted if ready is None else min(ready, wanted)
    for number, pod in enumerate(pods):
        up = "True" if number < count else "False"
        _set_status(cluster, pod, {"phase": "Running", "conditions": [{"type": "Ready", "status": up}]})
    report = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": wanted,
        "updatedReplicas": wanted,
        "readyReplicas": count,
        "availableReplicas": count,
    }
    _set_status(cluster, cluster.at("Deployment", namespace, name), report)


def refuse_artifact(cluster: Cluster, namespace: str, name: str) -> None:
    """The pull of each pod of the Deployment that is not ready ends: the store does not hold what its digest says."""
    deployment = cluster.at("Deployment", namespace, name)
    message = json.dumps({"error": {"reason": "ArtifactCorrupt", "message": "model.onnx was changed: build it again"}})
    ended = {"exitCode": 4, "reason": "Error", "message": message}
    state = {"name": "pull", "ready": False, "restartCount": 1, "state": {"terminated": ended}}
    for pod in [pod for pod in cluster.all("Pod", namespace) if _owned(pod, deployment)]:
        conditions = (pod.get("status") or {}).get("conditions") or ()
        if not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            _set_status(cluster, pod, {"phase": "Pending", "initContainerStatuses": [state]})


# -- EndpointSlices -------------------------------------------------------------------------


def sync_endpoints(cluster: Cluster, namespace: str) -> None:
    """Bring the EndpointSlice of every Service of a namespace up to date with the pods."""
    for service in cluster.all("Service", namespace):
        selector = service["spec"].get("selector") or {}
        if not selector:
            continue
        endpoints = [_endpoint(pod) for pod in cluster.all("Pod", namespace) if _selected(pod, selector)]
        meta = service["metadata"]
        name = f"{meta['name']}-slice"
        known = cluster.objects.get(("EndpointSlice", namespace, name))
        if known is not None and known["endpoints"] == endpoints:
            continue
        if known is not None:
            cluster.edit("EndpointSlice", namespace, name, lambda piece, e=endpoints: piece.update(endpoints=e))
            continue
        labels = {**(meta.get("labels") or {}), "kubernetes.io/service-name": meta["name"]}
        cluster.create(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": labels,
                    "ownerReferences": [_owner(service, "Service")],
                },
                "addressType": "IPv4",
                "endpoints": endpoints,
            },
            manager="kube-controller-manager",
        )


def _endpoint(pod: Manifest) -> Manifest:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return {
        "conditions": {"ready": ready, "serving": ready, "terminating": False},
        "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]},
    }


def _selected(pod: Manifest, selector: Mapping[str, str]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in selector.items())


# -- the gateway ----------------------------------------------------------------------------


def accept(cluster: Cluster, kind: str, namespace: str, name: str, *, refused: str | None = None) -> None:
    """The gateway answers for the route's present generation: takes it, or refuses it with a message."""
    route = cluster.at(kind, namespace, name)
    verdict = "False" if refused else "True"
    accepted = {"type": "Accepted", "status": verdict, "reason": "Answered", "message": refused or ""}
    resolved = {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "message": ""}
    generation = route["metadata"]["generation"]
    conditions = [{**said, "observedGeneration": generation} for said in (accepted, resolved)]
    parents = [
        {"parentRef": ref, "controllerName": GATEWAY, "conditions": conditions} for ref in route["spec"]["parentRefs"]
    ]
    _set_status(cluster, route, {"parents": parents})


# -- garbage --------------------------------------------------------------------------------


def collect_garbage(cluster: Cluster) -> None:
    """Remove what all owners of are gone, and what that leaves ownerless in turn."""
    while True:
        uids = {obj["metadata"]["uid"] for obj in cluster.objects.values()}
        orphans = [
            ident
            for ident, obj in cluster.objects.items()
            if (owners := obj["metadata"].get("ownerReferences")) and not any(o["uid"] in uids for o in owners)
        ]
        if not orphans:
            return
        for ident in orphans:
            cluster.purge(*ident)


# -- all of them ----------------------------------------------------------------------------


def settle(cluster: Cluster, *, answer: Mapping[str, Any] = ANSWER) -> None:
    """Let every controller do all its work once, in the order in which it flows, as a healthy cluster does."""
    for job in cluster.all("Job"):
        if not job.get("status"):
            finish_job(cluster, job["metadata"]["namespace"], job["metadata"]["name"], answer)
    collect_garbage(cluster)
    for deployment in cluster.all("Deployment"):
        roll(cluster, deployment["metadata"]["namespace"], deployment["metadata"]["name"])
    for namespace in {obj["metadata"]["namespace"] for obj in cluster.all("Service")}:
        sync_endpoints(cluster, namespace)
    for kind in ("HTTPRoute", "GRPCRoute"):
        for route in cluster.all(kind):
            accept(cluster, kind, route["metadata"]["namespace"], route["metadata"]["name"])


def _set_status(cluster: Cluster, obj: Manifest, status: Manifest) -> None:
    meta = obj["metadata"]
    if cluster.at(obj["kind"], meta["namespace"], meta["name"]).get("status") == status:
        return  # no news
    cluster.edit(
        obj["kind"],
        meta["namespace"],
        meta["name"],
        lambda live: live.update(status=status),
        manager="kube-controller-manager",
    )


def _pod(owner: Manifest, template: Manifest, name: str, *, kind: str) -> Manifest:
    meta = owner["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": dict(template["metadata"].get("labels") or {}),
            "ownerReferences": [_owner(owner, kind)],
        },
        "spec": template["spec"],
    }


def _owner(owner: Manifest, kind: str) -> Manifest:
    head = {"apiVersion": owner["apiVersion"], "kind": kind, "controller": True}
    return {**head, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}


def _owned(obj: Manifest, owner: Manifest) -> bool:
    return any(o["uid"] == owner["metadata"]["uid"] for o in obj["metadata"].get("ownerReferences") or ())
