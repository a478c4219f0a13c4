"""The slots' Services: which revision each selects, and whose pods answer there now."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from modelrelease.adapters.facts.objects import Object, items, labels, part
from modelrelease.domain import naming
from modelrelease.domain.observed import SlotFacts


def slot_facts(service: Object, slices: Sequence[Object], pods: Mapping[str, Object]) -> SlotFacts:
    """Return the facts of a slot from its Service, all EndpointSlices and pods (by name) of the release."""
    meta = service["metadata"]
    release = labels(service).get(naming.LABEL_RELEASE, "")
    ready: Counter[str] = Counter()
    for name in sorted(_ready_pods(meta["name"], slices)):
        ready[_revision(release, name, pods.get(name))] += 1
    return SlotFacts(
        revision=part(service, "spec", "selector").get(naming.LABEL_REVISION, ""),
        resource_version=meta.get("resourceVersion", ""),
        ready=dict(ready),
    )


def _ready_pods(service: str, slices: Sequence[Object]) -> set[str]:
    """Return the pods that get requests of a Service: one name, however many slices and address families."""
    found = set()
    for piece in slices:
        if labels(piece).get("kubernetes.io/service-name") != service:
            continue
        for endpoint in items(piece, "endpoints"):
            conditions = part(endpoint, "conditions")
            # An absent `ready` means unknown, which the API says to take for ready.
            if conditions.get("ready", True) is not False and not conditions.get("terminating"):
                found.add(str(part(endpoint, "targetRef").get("name", "")))
    return found


def _revision(release: str, name: str, pod: Object | None) -> str:
    """Return a pod's revision: from its label, or from its name where the pod is not in sight (yet)."""
    if pod is not None:
        return str(labels(pod).get(naming.LABEL_REVISION, ""))
    match = re.match(rf"{re.escape(release)}-([0-9a-f]+)-", name)
    return match[1] if match else ""
