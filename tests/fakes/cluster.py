"""An API server in memory: `Kube`, with resourceVersions, preconditions, ownership and watch events.

Nothing happens by itself: Jobs, pods, endpoints, the gateway and garbage collection move only
when a test calls `tests.fakes.controllers`. What the operator would see over its watches
piles up in `watch`; the test delivers it, or loses, repeats and delays it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelrelease.adapters import errors
from modelrelease.adapters.kinds import KINDS, Manifest
from modelrelease.adapters.kube import Listed
from modelrelease.domain import codec

from tests.fakes import ownership
from tests.fakes.faults import Fault, Faults

Ident = tuple[str, str, str]  # kind, namespace, name

_WITHOUT_GENERATION = {"Pod", "Service", "ControllerRevision", "Event", "Lease"}
_IMMUTABLE: dict[str, tuple[ownership.Path, ...]] = {
    "Job": (("spec", "template"), ("spec", "selector")),
    "Deployment": (("spec", "selector"),),
    "ControllerRevision": (("data",),),
}


@dataclass(frozen=True, kw_only=True)
class WatchEvent:
    """What a watch would deliver."""

    type: str  # ADDED, MODIFIED, DELETED
    kind: str
    object: Manifest


@dataclass(frozen=True, kw_only=True)
class Write:
    """One mutating request that took effect, for counting and for the order of effects."""

    verb: str  # apply, status, delete, event
    kind: str
    name: str
    manager: str = ""
    changed: bool = True


class Cluster:
    """The API server."""

    def __init__(self, *, now: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)) -> None:
        self.now = now
        self.objects: dict[Ident, Manifest] = {}
        self.watch: list[WatchEvent] = []
        self.writes: list[Write] = []
        self.faults = Faults()
        self.absent_kinds: set[str] = set()
        self.exhausted_kinds: set[str] = set()  # a quota refuses to create these
        self._owners: dict[Ident, ownership.Owners] = {}
        self._versions = itertools.count(1)
        self._version = 0

    # -- Kube -----------------------------------------------------------------------------

    async def get(self, kind: str, *, namespace: str | None, name: str) -> Manifest:
        fault = self.faults.next_read()
        _strike(fault, after=False)
        found = ownership.clone(self._live((kind, namespace or "", name)))
        _strike(fault, after=True)
        return found

    async def list(
        self,
        kind: str,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Listed:
        fault = self.faults.next_read()
        _strike(fault, after=False)
        self._known(kind)
        found = tuple(
            ownership.clone(obj)
            for (k, ns, _), obj in sorted(self.objects.items())
            if k == kind and namespace in (None, ns) and _matches(obj, labels or {}, fields or {})
        )
        _strike(fault, after=True)
        return Listed(items=found, resource_version=str(self._version))

    async def apply(
        self, manifest: Manifest, *, manager: str, resource_version: str | None = None, force: bool = True
    ) -> Manifest:
        fault = self.faults.next_write()
        _strike(fault, after=False)
        ident = _ident(manifest)
        self._known(ident[0])
        live = self.objects.get(ident)
        uid = manifest["metadata"].get("uid")
        if uid is not None and (live is None or live["metadata"]["uid"] != uid):
            raise errors.Conflict(f"{ident}: uid mismatch")
        # As the real one: of an object that is absent, the resourceVersion is not looked at.
        if None not in (live, resource_version) and live["metadata"]["resourceVersion"] != resource_version:
            raise errors.Conflict(f"{ident}: the object has been modified")
        owners = {path: set(names) for path, names in self._owners.get(ident, {}).items()}
        before = live if live is not None else self._newborn(ident, manifest)
        clash = ownership.conflicts(live=before, owners=owners, manifest=manifest, manager=manager)
        if clash and not force:
            raise errors.Conflict(f"{ident}: conflicts: {'; '.join(clash)}")
        wanted = {name: item for name, item in manifest.items() if name != "status"}
        after = ownership.apply(live=before, owners=owners, manifest=wanted, manager=manager)
        changed = self._store(ident, live, after)
        self._owners[ident] = owners
        self.writes.append(Write(verb="apply", kind=ident[0], name=ident[2], manager=manager, changed=changed))
        _strike(fault, after=True)
        return ownership.clone(self.objects[ident])

    async def replace_status(self, manifest: Manifest, *, manager: str) -> Manifest:
        fault = self.faults.next_write()
        _strike(fault, after=False)
        ident = _ident(manifest)
        live = self._live(ident)
        if manifest["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            raise errors.Conflict(f"{ident}: the object has been modified")
        after = {**ownership.clone(live), "status": ownership.clone(manifest.get("status", {}))}
        changed = self._store(ident, live, after)
        self.writes.append(Write(verb="status", kind=ident[0], name=ident[2], manager=manager, changed=changed))
        _strike(fault, after=True)
        return ownership.clone(self.objects[ident])

    async def delete(self, kind: str, *, namespace: str, name: str, uid: str, resource_version: str) -> Manifest | None:
        fault = self.faults.next_write()
        _strike(fault, after=False)
        ident = (kind, namespace, name)
        meta = self._live(ident)["metadata"]
        if (meta["uid"], meta["resourceVersion"]) != (uid, resource_version):
            raise errors.Conflict(f"{ident}: a precondition of the delete failed")
        self.purge(*ident)
        self.writes.append(Write(verb="delete", kind=kind, name=name))
        _strike(fault, after=True)
        return None

    async def create_event(self, event: Manifest) -> None:
        fault = self.faults.next_write()
        _strike(fault, after=False)
        ident = _ident(event)
        if ident not in self.objects:
            self._store(ident, None, self._born(ident, event))
            self.writes.append(Write(verb="event", kind="Event", name=ident[2]))
        _strike(fault, after=True)

    # -- everybody else -------------------------------------------------------------------

    def create(self, manifest: Manifest, *, manager: str = "kubectl") -> Manifest:
        """Create an object as a person or a controller does."""
        ident = _ident(manifest)
        assert ident not in self.objects, f"{ident} exists"
        self._owners[ident] = {}
        ownership.take(before={}, after=manifest, owners=self._owners[ident], manager=manager)
        self._store(ident, None, self._born(ident, manifest))
        return self.objects[ident]

    def edit(
        self, kind: str, namespace: str, name: str, change: Callable[[Any], None], *, manager: str = "kubectl"
    ) -> None:
        """Change an object in place as a person or a controller does."""
        ident = (kind, namespace, name)
        live = self._live(ident)
        after = ownership.clone(live)
        change(after)
        ownership.take(before=live, after=after, owners=self._owners[ident], manager=manager)
        self._store(ident, live, after)

    def purge(self, kind: str, namespace: str, name: str) -> None:
        """Remove an object without asking; its dependents wait for `controllers.collect_garbage`."""
        ident = (kind, namespace, name)
        gone = self.objects.pop(ident)
        self._owners.pop(ident, None)
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": self._next_version()}}
        self.watch.append(WatchEvent(type="DELETED", kind=kind, object=gone))

    def all(self, kind: str, namespace: str | None = None) -> list[Manifest]:
        """Return the live objects of a kind, by name."""
        return [obj for (k, ns, _), obj in sorted(self.objects.items()) if k == kind and namespace in (None, ns)]

    def at(self, kind: str, namespace: str, name: str) -> Manifest:
        """Return a live object; it must exist."""
        return self._live((kind, namespace, name))

    # -- inside ---------------------------------------------------------------------------

    def _known(self, kind: str) -> None:
        if kind in self.absent_kinds:
            raise errors.KindAbsent(f"{kind}: unknown kind")

    def _live(self, ident: Ident) -> Manifest:
        self._known(ident[0])
        if ident not in self.objects:
            raise errors.NotFound(f"{ident} not found")
        return self.objects[ident]

    def _newborn(self, ident: Ident, manifest: Manifest) -> Manifest:
        if ident[0] in self.exhausted_kinds:
            raise errors.QuotaExceeded(f"{ident[0].lower()}s {ident[2]!r} is forbidden: exceeded quota: team")
        meta = {
            "name": ident[2],
            "namespace": ident[1],
            "uid": f"uid-{self._version + 1}",
            "creationTimestamp": codec.format_time(self.now),
        }
        return {"apiVersion": KINDS[ident[0]].api_version, "kind": ident[0], "metadata": meta}

    def _born(self, ident: Ident, manifest: Manifest) -> Manifest:
        newborn, own = self._newborn(ident, manifest), ownership.clone(manifest)
        return {**own, "metadata": {**own["metadata"], **newborn["metadata"]}}

    def _store(self, ident: Ident, before: Manifest | None, after: Manifest) -> bool:
        if before is not None and after == before:
            return False
        for path in _IMMUTABLE.get(ident[0], ()) if before is not None else ():
            if ownership.read(before or {}, path) != ownership.read(after, path):
                raise errors.Invalid(f"{ident}: {'.'.join(path)}: field is immutable")
        meta = after["metadata"] = {**after["metadata"], "resourceVersion": self._next_version()}
        if ident[0] not in _WITHOUT_GENERATION:
            respecified = before is None or before.get("spec") != after.get("spec")
            meta["generation"] = (before or {}).get("metadata", {}).get("generation", 0) + respecified
        self.objects[ident] = after
        event = "ADDED" if before is None else "MODIFIED"
        self.watch.append(WatchEvent(type=event, kind=ident[0], object=ownership.clone(after)))
        return True

    def _next_version(self) -> str:
        self._version = next(self._versions)
        return str(self._version)


def _ident(manifest: Mapping[str, Any]) -> Ident:
    return manifest["kind"], manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def _matches(obj: Manifest, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    own = obj["metadata"].get("labels") or {}
    return all(own.get(k) == v for k, v in labels.items()) and all(
        ownership.read(obj, tuple(path.split("."))) == value for path, value in fields.items()
    )


def _strike(fault: Fault | None, *, after: bool) -> None:
    if fault is not None and fault.after == after:
        raise fault.error()
