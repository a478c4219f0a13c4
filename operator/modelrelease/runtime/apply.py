"""Carrying out a plan: the status, then the wants in their order, then the Events.

The status comes first, so that a crash leaves the intent; the first write that fails ends the
pass, so that nothing is done whose ground was not laid. Events come last: they only tell.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime

from modelrelease import render
from modelrelease.adapters import errors
from modelrelease.adapters.kinds import KINDS, Manifest
from modelrelease.adapters.kube import Kube
from modelrelease.domain import codec, naming
from modelrelease.domain.observed import Observed, Record
from modelrelease.domain.plan import (
    Announce,
    Plan,
    Remove,
    Want,
    WantDeployment,
    WantJob,
    WantRecord,
    WantRoute,
    WantSlot,
)
from modelrelease.domain.problem import Problem
from modelrelease.runtime.refusals import Refusals, Refused, problem_of
from modelrelease.runtime.routes import Routes
from modelrelease.runtime.store import Key, Store
from modelrelease.runtime.writes import Writer, fingerprint

log = logging.getLogger(__name__)

_NOTE_BYTES = 1024  # of an Event's note, by the API


@dataclass(frozen=True, kw_only=True)
class Applier:
    """Writes plans."""

    kube: Kube
    store: Store
    routes: Routes
    config: render.RenderConfig
    refusals: Refusals = field(default_factory=Refusals)
    writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "writer", Writer(kube=self.kube, store=self.store))

    async def apply(self, release: Manifest, observed: Observed, plan: Plan, *, now: datetime) -> bool:
        """Write what differs; return whether any want was written, so that there is more to see.

        Raises:
            ApiError: a write failed that is worth another try. What came before it is done.
        """
        status = codec.encode(plan.status)
        if status != codec.encode(observed.status):
            await self.writer.replace_status(release, status)
        failure: errors.ApiError | None = None
        written = False
        try:
            written = await self._write_wants(observed, plan, now)
        except errors.ApiError as error:
            failure = error
        await self._announce(observed, plan.announce, now)
        if failure is not None:
            raise failure
        return written

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a release that is gone."""
        self.refusals.keep(key, ())
        self.routes.forget(key)

    async def _write_wants(self, observed: Observed, plan: Plan, now: datetime) -> bool:
        """Write the wants up to the first that fails; of routes that are wanted together, each is tried.

        One protocol's route that is refused must not keep bad traffic on the other's.
        """
        key = (observed.meta.namespace, observed.meta.name)
        written = False
        refused: set[str] = set()
        trouble: errors.ApiError | None = None
        for want in plan.wants:
            if (refused or trouble) and not isinstance(want, WantRoute):
                break
            try:
                done = await self._attempt(key, observed, want, now)
            except errors.ApiError as error:
                trouble = trouble or error
                continue
            if done is None:
                refused.add(_identity(want))
            written = written or bool(done)
        if trouble is not None:
            raise trouble
        self.refusals.keep(key, refused)
        return written

    async def _attempt(self, key: Key, observed: Observed, want: Want, now: datetime) -> bool | None:
        """Return whether a want took a write, None where it is refused.

        Raises:
            ApiError: it is worth another try as it is.
        """
        write = _identity(want)
        if self.refusals.pending(key, write, now):
            return None
        try:
            return await self._write(observed, want)
        except Refused as refused:
            problem = refused.problem
        except errors.ApiError as error:
            said = problem_of(error, describe(observed, want))
            if said is None:
                raise
            problem = said
        self.refusals.note(key, write, problem, now)
        return None

    async def _write(self, observed: Observed, want: Want) -> bool:
        meta, writer = observed.meta, self.writer
        match want:
            case WantJob():
                return await self._once(observed, render.job(meta=meta, spec=observed.spec, want=want))
            case WantRecord():
                return await self._keep(observed, want)
            case WantDeployment():
                record = _known(observed, want.revision)
                manifest = render.deployment(meta=meta, record=record, replicas=want.replicas, intent=want.intent)
                written = await writer.ensure(manifest, meta=meta)
                live = self.store.get("Deployment", meta.namespace, manifest["metadata"]["name"])
                if live is None:
                    return written  # deleted by somebody at this moment; its event brings it back
                budget = render.pdb(meta=meta, revision=want.revision, deployment_uid=live["metadata"]["uid"])
                return await writer.ensure(budget, meta=meta) or written
            case WantSlot():
                manifest = render.service(meta=meta, slot=want.slot, revision=want.revision)
                return await writer.ensure(manifest, meta=meta, resource_version=want.resource_version)
            case WantRoute():
                manifest = await self.routes.rendered(observed, want)
                return await writer.ensure(
                    manifest, meta=meta, manager=naming.MANAGER_ROUTE, resource_version=want.resource_version
                )
            case Remove():
                return await self._remove(observed, want)

    async def _once(self, observed: Observed, manifest: Manifest) -> bool:
        """Create what can't be changed later: a Job's pods, a record's content."""
        meta = manifest["metadata"]
        if self.store.get(manifest["kind"], meta["namespace"], meta["name"]) is not None:
            return False
        return await self.writer.ensure(manifest, meta=observed.meta)

    async def _keep(self, observed: Observed, want: WantRecord) -> bool:
        """Record a revision. One that is there but can't be read can't be changed either."""
        name = naming.deployment(observed.meta.name, want.revision)
        live = self.store.get("ControllerRevision", observed.meta.namespace, name)
        if live is not None and want.revision not in observed.records:
            message = f"ControllerRevision {name} can't be read; delete it, and it is written anew"
            raise Refused(Problem(reason="RecordUnreadable", message=message))
        template = render.pod_template(
            meta=observed.meta, spec=observed.spec, revision=want.revision, result=want.result, config=self.config
        )
        return await self._once(observed, render.record(meta=observed.meta, want=want, template=template))

    async def _remove(self, observed: Observed, want: Remove) -> bool:
        return await self.writer.delete(
            want.kind, observed.meta.namespace, want.name, uid=want.uid, resource_version=want.resource_version
        )

    async def _announce(self, observed: Observed, said: tuple[Announce, ...], now: datetime) -> None:
        """Record the Events of the transition; one that can't be recorded is no reason to fail."""
        for number, announce in enumerate(said):
            try:
                await self.kube.create_event(event(observed, announce, number=number, now=now))
            except errors.ApiError as error:
                log.warning("an Event was not recorded: %s", error)


def event(observed: Observed, announce: Announce, *, number: int, now: datetime) -> Manifest:
    """Return the Event of a transition.

    Its name comes from the resourceVersion that was decided on: whoever decides the same
    again, another replica or this one after a crash, makes the same Event.
    """
    meta = observed.meta
    token = fingerprint([meta.uid, meta.resource_version, number, announce.reason, announce.message])[:16]
    note = announce.message.encode()[:_NOTE_BYTES].decode(errors="ignore")
    return {
        "apiVersion": KINDS["Event"].api_version,
        "kind": "Event",
        "metadata": {"name": f"{meta.name}.{token}", "namespace": meta.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": announce.type,
        "reason": announce.reason,
        "action": "Release",
        "note": note,
        "reportingController": f"{naming.GROUP}/operator",
        "reportingInstance": naming.MANAGED_BY,
        "regarding": {
            "apiVersion": f"{naming.GROUP}/{naming.VERSION}",
            "kind": naming.KIND,
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        },
    }


def describe(observed: Observed, want: Want) -> str:
    """Return what a want is about, for people."""
    release = observed.meta.name
    match want:
        case WantJob():
            return f"Job {naming.job(release, want.artifact_key, want.attempt)}"
        case WantRecord():
            return f"ControllerRevision {naming.deployment(release, want.revision)}"
        case WantDeployment():
            return f"Deployment {naming.deployment(release, want.revision)}"
        case WantSlot():
            return f"Service {naming.service(release, want.slot)}"
        case WantRoute():
            return f"the {want.protocol} route {release}"
        case Remove():
            return f"the removal of {want.kind} {want.name}"


def _known(observed: Observed, revision: str) -> Record:
    record = observed.records.get(revision)
    if record is None:
        raise errors.Conflict(f"revision {revision} has no record: to be decided anew")
    return record


def _identity(want: Want) -> str:
    """Return a want by its content, without the resourceVersion, which moves while a refusal lasts."""
    content = codec.encode(want)
    content.pop("resourceVersion", None)
    return f"{type(want).__name__} {json.dumps(content, sort_keys=True)}"
