"""Who wrote what, from the API server's audit log."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

OPERATOR = "system:serviceaccount:modelrelease-system:modelrelease-operator"


@dataclass(frozen=True, kw_only=True)
class Write:
    """One write that the API server answered."""

    received: float
    answered: float
    """Both in seconds since the epoch."""
    user: str
    verb: str
    resource: str
    """With its subresource, such as ``modelreleases/status``."""
    namespace: str
    name: str
    code: int


def writes(log: Path) -> Iterator[Write]:
    """Yield every write of an audit log, rotated files left out; a line that is being written is not there yet."""
    for line in log.read_text().splitlines(keepends=True):
        if not line.endswith("\n"):
            return
        entry = json.loads(line)
        about = entry.get("objectRef") or {}
        resource = "/".join(part for part in (about.get("resource", ""), about.get("subresource", "")) if part)
        yield Write(
            received=_seconds(entry["requestReceivedTimestamp"]),
            answered=_seconds(entry["stageTimestamp"]),
            user=entry["user"]["username"],
            verb=entry["verb"],
            resource=resource,
            namespace=about.get("namespace", ""),
            name=about.get("name", ""),
            code=(entry.get("responseStatus") or {}).get("code", 0),
        )


def of_operator(found: Iterable[Write], *, namespace: str | None = None, since: float = 0.0) -> list[Write]:
    """Return the writes of the operator's account, renewals of its Lease apart."""
    return [
        write
        for write in found
        if write.user == OPERATOR
        and write.resource != "leases"
        and write.received >= since
        and namespace in (None, write.namespace)
    ]


def by_kind(found: Iterable[Write]) -> str:
    """Return how many writes went to what, the most frequent first."""
    counted = Counter(f"{write.resource}{'' if write.code < 400 else f' ({write.code})'}" for write in found)
    return ", ".join(f"{count} {kind}" for kind, count in counted.most_common())


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
