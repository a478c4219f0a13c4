"""What to look at when something that was awaited did not come: release, events, operator, pods; in human words."""

from collections.abc import Iterable, Iterator
from typing import Any

from localcluster.demo.kube import Kube
from localcluster.demo.settings import NAMESPACE, RELEASE
from localcluster.errors import ClusterError

OPERATOR_NAMESPACE = "modelrelease-system"
OPERATOR = "modelrelease-operator"
_EVENTS = 12
_LOG_LINES = 15
_INDENT = "    "
_GOOD_REASONS = frozenset({"Completed"})

Object = dict[str, Any]


def diagnose(kube: Kube) -> str:
    """Return what a person would look up first, as text."""
    parts = (
        ("the release", lambda: describe_release(kube.get("modelrelease", RELEASE, "-n", NAMESPACE))),
        (f"pods not ready in {NAMESPACE}", lambda: unready(kube.items("pods", "-n", NAMESPACE))),
        (f"events in {NAMESPACE}", lambda: describe_events(kube.items("events", "-n", NAMESPACE))),
        (f"pods not ready in {OPERATOR_NAMESPACE}", lambda: unready(kube.items("pods", "-n", OPERATOR_NAMESPACE))),
        ("the operator's log", lambda: _operator_log(kube)),
    )
    lines: list[str] = []
    for title, look in parts:
        try:
            found = list(look())
        except ClusterError as error:
            found = [f"can not be looked up: {error}"]
        lines += [f"  {title}:", *(f"{_INDENT}{line}" for line in found or ["nothing"])]
    return "\n".join(lines)


def describe_release(body: Object) -> Iterator[str]:
    """Yield message, what is awaited, and the conditions of a release."""
    status = body.get("status")
    if not status:
        yield "not seen by the operator yet" if body else "it does not exist"
        return
    yield f"{status.get('phase', '?')}: {status.get('message', '')}"
    if awaited := status.get("waitingFor"):
        yield f"waits for {awaited['what']} since {awaited['since']} ({awaited['who']})"
    for condition in status.get("conditions", ()):
        yield f"{condition['type']}={condition['status']} {condition['reason']}: {condition['message']}"


def describe_events(events: Iterable[Object]) -> Iterator[str]:
    """Yield the last events, oldest first."""
    ordered = sorted(events, key=_when)
    for event in ordered[-_EVENTS:]:
        about = event.get("involvedObject", {})
        who = f"{about.get('kind', '?')} {about.get('name', '?')}"
        yield f"{event.get('type', '?')} {event.get('reason', '?')} {who}: {' '.join(event.get('message', '').split())}"


def unready(pods: Iterable[Object]) -> Iterator[str]:
    """Yield each pod that is not ready, with what its containers say."""
    for pod in pods:
        status = pod.get("status", {})
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
        if ready or status.get("phase") == "Succeeded":
            continue
        said = [*_containers(status), *_scheduling(status)]
        yield f"{pod['metadata']['name']} is {status.get('phase', '?')}: {'; '.join(said) or 'starting'}"


def _containers(status: Object) -> Iterator[str]:
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        for kind in ("waiting", "terminated"):
            detail = container.get("state", {}).get(kind)
            if detail and detail.get("reason") not in _GOOD_REASONS:
                yield f"{container['name']} {detail.get('reason', kind)} {detail.get('message', '')}".strip()


def _scheduling(status: Object) -> Iterator[str]:
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            yield f"not scheduled: {condition.get('message', '')}"


def _operator_log(kube: Kube) -> list[str]:
    selector = f"app.kubernetes.io/name={OPERATOR}"
    text = kube.run("logs", "-n", OPERATOR_NAMESPACE, "-l", selector, f"--tail={_LOG_LINES}", "--prefix")
    return text.splitlines()


def _when(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")
