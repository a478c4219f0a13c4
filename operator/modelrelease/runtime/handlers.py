"""kopf as an informer: it watches, and each event becomes an entry of the cache and a key in the queue.

Nothing else of kopf is used. Its timers and daemons cost a task and a finalizer for each
object, its change handlers write annotations, and its patches carry no precondition.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import kopf

from modelrelease.adapters.errors import ApiError
from modelrelease.adapters.kinds import CACHED, CHILDREN, KINDS, Manifest
from modelrelease.adapters.kube import Kube
from modelrelease.domain import naming
from modelrelease.runtime.logs import fields
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.queue import Key, WorkQueue
from modelrelease.runtime.store import Store, release_of

log = logging.getLogger(__name__)

_OURS = {naming.LABEL_MANAGED_BY: naming.MANAGED_BY}

Place = tuple[str, str, int | None]  # phase, the candidate's revision, its step


class PatientBackoff:
    """Delays between tries of kopf's requests, without end: an informer that gives up ends the operator."""

    def __iter__(self) -> Iterator[float]:
        """Yield 1, 2, 4, 8, 16, 30, 30, ... seconds, each a little random."""
        delay = 1.0
        while True:
            yield _jittered(delay)
            delay = min(30.0, delay * 2)


@dataclass(kw_only=True)
class Informer:
    """The way of events into cache and queue."""

    store: Store
    queue: WorkQueue
    metrics: Metrics
    _places: dict[Key, Place] = field(default_factory=dict)

    def remember(self) -> None:
        """Note where the known releases are, so that their next transition is told as one."""
        for key in self.store.releases():
            release = self.store.get(naming.KIND, *key)
            self._places[key] = _place(release or {})

    def registry(self) -> kopf.OperatorRegistry:
        """Return the handlers: one for each cached kind."""
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        for name in CACHED:
            kind = KINDS[name]
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=name)(self._handler(name))
        return registry

    def _handler(self, kind: str) -> Callable[..., Any]:
        async def handle(*, event: Any, **_: Any) -> None:
            self.take_in(kind, event["object"], deleted=event["type"] == "DELETED")

        return handle

    def take_in(self, kind: str, obj: Manifest, *, deleted: bool) -> None:
        """Take one event in. What is no news wakes nobody: our own writes come back as events."""
        key = release_of(kind, obj)
        before = self.store.get(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
        news = self.store.remove(kind, obj) if deleted else self.store.put(kind, obj)
        if kind == naming.KIND and key is not None:
            self._follow(key, obj, deleted=deleted)
        if not news:
            return
        # A child whose label was taken away or changed concerns the release that had it, too.
        for concerned in {key, release_of(kind, before) if before else None} - {None}:
            assert concerned is not None, "None was taken out"
            self.queue.add(concerned)

    def _follow(self, key: Key, release: Manifest, *, deleted: bool) -> None:
        """Log and count the phases of a release, once each."""
        namespace, name = key
        if deleted:
            self._places.pop(key, None)
            log.info("release deleted", extra=fields(namespace=namespace, release=name))
            return
        status = release.get("status") or {}
        phase = status.get("phase") or ""
        candidate = status.get("candidate") or {}
        known, place = self._places.get(key), _place(release)
        self._places[key] = place
        if known is None or known == place or not phase:
            return
        self.metrics.transition(namespace=namespace, release=name, phase=phase)
        about = fields(
            namespace=namespace,
            release=name,
            phase=phase,
            version=candidate.get("version"),
            revision=candidate.get("revision"),
            step=candidate.get("step"),
            weight=(candidate.get("weight") or {}).get("desired"),
        )
        log.info("%s", status.get("message") or phase, extra=about)


def _place(release: Manifest) -> Place:
    status = release.get("status") or {}
    candidate = status.get("candidate") or {}
    return status.get("phase") or "", candidate.get("revision") or "", candidate.get("step")


class NoMemory(kopf.DiffBaseStorage):
    """Keeps no last-handled state: kopf would copy every object at every event for handlers that are not there."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:  # noqa: ARG002 - kopf's signature
        """Return nothing of the object."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - as above
        """Return that nothing was kept."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Keep nothing."""


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: only watch, never write, never give up, notice a watch that fell silent."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True  # see NewKinds
    chosen.posting.enabled = False
    chosen.persistence.diffbase_storage = NoMemory()
    chosen.persistence.finalizer = f"{naming.GROUP}/unused"  # no handler needs one; never kopf's own name
    chosen.networking.error_backoffs = PatientBackoff()
    chosen.networking.request_timeout = 30.0
    chosen.networking.connect_timeout = 10.0
    chosen.watching.server_timeout = 290  # a whole number: it goes into the query as it is
    chosen.watching.client_timeout = 310.0
    chosen.watching.connect_timeout = 10.0
    chosen.watching.chunk_size = 500
    chosen.queueing.idle_timeout = 0.05  # a finished object's task holds memory and nothing of use
    chosen.process.ultimate_exiting_timeout = 20.0
    selector = ",".join(f"{name}={value}" for name, value in _OURS.items())
    for name in CHILDREN:
        kind = KINDS[name]
        chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
    return chosen


@dataclass(frozen=True, kw_only=True)
class Resync:
    """Lists everything now and then and looks at every release: the net under every lost event."""

    store: Store
    kube: Kube
    queue: WorkQueue
    first: float = 30.0  # soon: what was deleted between the first list and the start of the watches
    period: float = 600.0
    retry: float = 60.0

    async def run(self) -> None:
        """Resync for good."""
        wait = self.first
        while True:
            await asyncio.sleep(_jittered(wait))
            try:
                await self.store.resync(self.kube)
            except ApiError as error:
                log.warning("the periodic list failed and is tried again: %s", error)
                wait = self.retry
                continue
            wait = self.period
            for key in self.store.releases():
                self.queue.add_after(key, _jittered(self.period / 20))


@dataclass(frozen=True, kw_only=True)
class NewKinds:
    """Notices that a kind was installed which was not there at the start, and so is not watched.

    kopf could scan for new kinds itself, but it asks what there is at the very moment that the
    API server announces a CRD, when its answer may still lack it, and then not again. It also
    needs the right to list CRDs. A start anew needs neither luck nor rights.
    """

    kube: Kube
    absent: frozenset[str]
    namespace: str | None
    period: float = 5.0

    async def run(self) -> None:
        """Return when such a kind is there."""
        while True:
            await asyncio.sleep(_jittered(self.period))
            for kind in sorted(self.absent):
                try:
                    await self.kube.list(kind, namespace=self.namespace, labels=_OURS)
                except ApiError:
                    continue
                log.info("%s is installed now: starting anew to watch it", kind)
                return


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def _login(*, settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    """Take the credentials without the synchronous client, and the server's address without DNS."""
    found = kopf.login_with_service_account(settings=settings)
    if found is None:
        return kopf.login_with_kubeconfig(settings=settings)
    return dataclasses.replace(found, server=in_cluster_server(os.environ))


def in_cluster_server(environment: Mapping[str, str]) -> str:
    """Return the API server's address from a pod's environment."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
