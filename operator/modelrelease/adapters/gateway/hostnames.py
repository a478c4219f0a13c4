"""Who holds a hostname: routes, listeners and the hostnames that come out of both.

A second route on a hostname that is taken is accepted all the same and gets nothing. So
the routes are listed and compared:

- Two routes of one kind share a hostname only if it is the same: a gateway serves the more
  specific one first, so that a wildcard takes nothing from a name that it covers.
- An HTTPRoute and a GRPCRoute must not even overlap: a gateway accepts only one of them.
- What counts is a route's hostname as far as the listener lets it through: a catch-all
  route on a listener for one host holds that host.
- The older route holds the hostname; the later one is the one to go elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ANY = ""
_GROUP = "gateway.networking.k8s.io"


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A route's hostnames on one listener of one Gateway."""

    gateway: tuple[str, str]
    listener: str
    hostnames: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route as far as hostnames matter. `age` sorts older before younger."""

    kind: str
    namespace: str
    name: str
    age: tuple[str, str, str]
    attached: tuple[Attached, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def overlap(one: str, other: str) -> str | None:
    """Return the narrower of two hostnames if some name matches both; None if none does."""
    if one == other:
        return one
    for wide, narrow in ((one, other), (other, one)):
        if wide == ANY or (wide.startswith("*.") and narrow.endswith(wide[1:])):
            return narrow
    return None


def attach(
    refs: Iterable[Mapping[str, Any]],
    hostnames: Sequence[str],
    *,
    namespace: str,
    gateways: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]],
) -> tuple[Attached, ...]:
    """Return where a route's parentRefs lead, among the given Gateways' listeners."""
    wanted = [name.lower() for name in hostnames] or [ANY]
    found = []
    for ref in refs:
        gateway = (ref.get("namespace") or namespace, ref["name"])
        for listener in gateways.get(gateway, ()) if _is_gateway(ref) else ():
            if not _selects(ref, listener):
                continue
            limit = (listener.get("hostname") or ANY).lower()
            left = frozenset(name for name in (overlap(own, limit) for own in wanted) if name is not None)
            found.append(Attached(gateway=gateway, listener=listener["name"], hostnames=left))
    return tuple(found)


def clash(ours: Route, others: Iterable[Route]) -> tuple[Route, str] | None:
    """Return the oldest route that holds one of our hostnames, and the hostname; None if all are ours."""
    older = sorted((route for route in others if route.age < ours.age), key=lambda route: route.age)
    for other in older:
        for mine in ours.attached:
            for theirs in other.attached:
                if (mine.gateway, mine.listener) == (theirs.gateway, theirs.listener):
                    shared = _shared(mine.hostnames, theirs.hostnames, same_kind=ours.kind == other.kind)
                    if shared is not None:
                        return other, shared
    return None


def _shared(mine: frozenset[str], theirs: frozenset[str], *, same_kind: bool) -> str | None:
    if same_kind:
        return min(mine & theirs, default=None)
    found = (overlap(one, other) for one in mine for other in theirs)
    return min((name for name in found if name is not None), default=None)


def _is_gateway(ref: Mapping[str, Any]) -> bool:
    return (ref.get("kind", "Gateway"), ref.get("group", _GROUP)) == ("Gateway", _GROUP)


def _selects(ref: Mapping[str, Any], listener: Mapping[str, Any]) -> bool:
    section, port = ref.get("sectionName"), ref.get("port")
    return section in (None, listener["name"]) and port in (None, listener.get("port"))
