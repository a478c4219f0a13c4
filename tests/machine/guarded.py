"""The API server in memory, with a guard that looks at every write of an operator before anyone else does."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from modelrelease.adapters.facts import route_facts
from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming
from modelrelease.domain.observed import FLOOR_PPM
from modelrelease.render import candidate_ppm
from modelrelease.runtime.store import Store

from tests.fakes.cluster import Cluster, Ident

ROUTES = tuple(naming.ROUTE_KINDS.values())


class Actor(Protocol):
    """The operator process behind a write: what it believes, and what its metrics told it."""

    store: Store

    def heard(self, started: str) -> str | None:
        """Return what the metrics last told it of the time since a moment: good, bad or else; None if not asked."""


class Guard(Protocol):
    """Sees each effect of an operator's request. Raises AssertionError on one that must not be."""

    def applied(self, actor: Actor, before: Manifest | None, after: Manifest, *, preconditioned: bool) -> None:
        """An apply that changed something."""

    def status_replaced(self, actor: Actor, before: Manifest, after: Manifest) -> None:
        """A status."""

    def deleted(self, actor: Actor, gone: Manifest) -> None:
        """A delete."""


class GuardedCluster(Cluster):
    """A cluster that also knows what the gateways serve and which objects people had their hands on."""

    guard: Guard | None = None

    def __init__(self) -> None:
        super().__init__()
        self.served: dict[Ident, int] = {}  # the candidate's ppm that the gateway took last, by route
        self.touched: set[Ident] = set()  # changed by people since an operator wrote them
        self.vandalised: set[Ident] = set()  # deleted by people
        self._actor: Actor | None = None

    @contextlib.contextmanager
    def acting(self, actor: Actor) -> Iterator[None]:
        """Take the writes within for this process's."""
        self._actor = actor
        try:
            yield
        finally:
            self._actor = None

    def branch(self) -> GuardedCluster:
        """Return a cluster of its own that is now as this one is."""
        twin = copy.copy(self)
        twin.objects = dict(self.objects)  # no object is ever changed in place
        twin.watch, twin.writes = [], []
        twin.served, twin.touched = dict(self.served), set(self.touched)
        twin.vandalised = set(self.vandalised)
        twin._owners = {i: {path: set(names) for path, names in own.items()} for i, own in self._owners.items()}
        twin._versions = copy.copy(self._versions)
        return twin

    async def apply(
        self, manifest: Manifest, *, manager: str, resource_version: str | None = None, force: bool = True
    ) -> Manifest:
        ident = (manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        before = self.objects.get(ident)
        answer = await super().apply(manifest, manager=manager, resource_version=resource_version, force=force)
        if self.guard and self._actor and answer != before:
            self.guard.applied(self._actor, before, answer, preconditioned=resource_version is not None)
            self.touched.discard(ident)
        return answer

    async def replace_status(self, manifest: Manifest, *, manager: str) -> Manifest:
        ident = (manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        before = self.objects.get(ident)
        answer = await super().replace_status(manifest, manager=manager)
        if self.guard and self._actor:
            assert before is not None
            self.guard.status_replaced(self._actor, before, answer)
        return answer

    async def delete(self, kind: str, *, namespace: str, name: str, uid: str, resource_version: str) -> Manifest | None:
        gone = self.objects.get((kind, namespace, name))
        answer = await super().delete(kind, namespace=namespace, name=name, uid=uid, resource_version=resource_version)
        if self.guard and self._actor:
            assert gone is not None
            self.guard.deleted(self._actor, gone)
        return answer

    def edit(
        self, kind: str, namespace: str, name: str, change: Callable[[Any], None], *, manager: str = "kubectl"
    ) -> None:
        super().edit(kind, namespace, name, change, manager=manager)
        ident = (kind, namespace, name)
        if manager == "kubectl":
            self.touched.add(ident)
        if kind in ROUTES and route_facts(self.objects[ident]).accepted:
            self.served[ident] = candidate_ppm(self.objects[ident]) or FLOOR_PPM

    def vandalise(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object as a person does."""
        self.purge(kind, namespace, name)
        self.vandalised.add((kind, namespace, name))
        self.touched.add((kind, namespace, name))

    def purge(self, kind: str, namespace: str, name: str) -> None:
        super().purge(kind, namespace, name)
        self.served.pop((kind, namespace, name), None)
