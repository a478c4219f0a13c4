"""What is left in the end, without what differs from run to run: times, uids, resourceVersions, Events, pods."""

from __future__ import annotations

import json
import re
from typing import Any

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming
from modelrelease.domain.observed import FLOOR_PPM

from tests.fakes.cluster import Cluster
from tests.machine.guarded import ROUTES

_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_NUMBER = re.compile(r"\d[\d\s.,]*")
_VOLATILE = {"uid", "resourceVersion", "generation", "creationTimestamp"}
SERVING = ("Deployment", "PodDisruptionBudget", "Service", *ROUTES)


def everything(cluster: Cluster) -> dict[str, Any]:
    """Return all that the operator is answerable for, the status included."""
    return children(cluster, ("Job", "ControllerRevision", *SERVING)) | {
        "status": [_uncounted(_plain(obj.get("status"))) for obj in cluster.all(naming.KIND)]
    }


def _uncounted(value: Any) -> Any:
    """Leave out how much was counted: a process that was just started looks once more than one that was not."""
    if isinstance(value, dict):
        return {
            key: _NUMBER.sub("N", item) if key == "message" else _uncounted(item)
            for key, item in value.items()
            if key != "badRequests"
        }
    return [_uncounted(item) for item in value] if isinstance(value, list) else value


def snapshot(cluster: Cluster) -> str:
    """Return all that has a bearing on what comes next, clocks included."""
    state = [
        _without(obj, ("uid", "resourceVersion"))
        for ident, obj in sorted(cluster.objects.items())
        if ident[0] != "Event"
    ]
    return json.dumps([str(cluster.now), sorted(cluster.served.items()), state], sort_keys=True)


def children(cluster: Cluster, kinds: tuple[str, ...] = SERVING) -> dict[str, Any]:
    """Return what people wanted of the children, by kind and name; not what controllers said of them."""
    return {f"{kind} {obj['metadata']['name']}": _plain(_wanted(obj)) for kind in kinds for obj in cluster.all(kind)}


def _wanted(obj: Manifest) -> Manifest:
    annotations = {k: v for k, v in (obj["metadata"].get("annotations") or {}).items() if k != naming.ANNOTATION_INTENT}
    wanted = {key: value for key, value in obj.items() if key != "status"}
    wanted["metadata"] = {**obj["metadata"], "annotations": annotations}
    if obj["kind"] in ROUTES:
        # A place at the floor keeps its header: it answers one request in a million.
        rules = [
            {**rule, "backendRefs": [_without_idle_filter(backend) for backend in rule["backendRefs"]]}
            for rule in obj["spec"]["rules"]
        ]
        wanted["spec"] = {**obj["spec"], "rules": rules}
    return wanted


def _without_idle_filter(backend: Manifest) -> Manifest:
    idle = backend["weight"] <= FLOOR_PPM
    return {key: value for key, value in backend.items() if not (idle and key == "filters")}


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return "a time" if isinstance(value, str) and _TIME.fullmatch(value) else value
