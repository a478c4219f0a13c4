"""From the cache, and what has to be asked for, to one `Observed`.

Objects come from the cache. Triton, the metrics and the Gateway are asked only when
`needs` says that the decision depends on them; they answer with facts, or say that they
can't, and never raise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from modelrelease import render
from modelrelease.adapters import facts
from modelrelease.adapters.errors import ApiError
from modelrelease.adapters.kinds import Manifest
from modelrelease.adapters.kube import Kube
from modelrelease.adapters.triton import GoldenAnswers
from modelrelease.domain import codec, naming
from modelrelease.domain import observed as seen
from modelrelease.domain.counts import Evidence
from modelrelease.domain.needs import needs
from modelrelease.domain.observed import (
    DeploymentFacts,
    GatewayFacts,
    JobFacts,
    Meta,
    Observed,
    ProbeResult,
    Record,
    RouteFacts,
    Slot,
    SlotFacts,
    Unknown,
)
from modelrelease.domain.plan import Needs, Window
from modelrelease.domain.problem import Problem
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Status
from modelrelease.runtime.golden import GoldenWatch
from modelrelease.runtime.store import Key, Store

log = logging.getLogger(__name__)

T = TypeVar("T")


# A Job's controller makes its pod within a second or so; later, Events may say why there is none.
POD_EXPECTED = timedelta(seconds=5)
LOOK_FOR_POD = timedelta(seconds=10)


class Prober(Protocol):
    """Asks Triton."""

    async def probe(self, *, meta: Meta, spec: Spec, record: Record) -> ProbeResult:
        """Return what the revision's Triton answers through the preview slot."""


class EvidenceSource(Protocol):
    """Asks the metrics store."""

    async def read(
        self,
        *,
        meta: Meta,
        spec: Spec,
        protocols: tuple[seen.Protocol, ...],
        window: Window,
        stable: str | None,
        candidate: str | None,
    ) -> Evidence:
        """Return the blocks of a window, and stable's history where it asks for it; `error` where there are none."""


class GatewayReader(Protocol):
    """Asks for the Gateway behind a release."""

    async def facts(self, *, meta: Meta, spec: Spec) -> GatewayFacts | Unknown:
        """Return what is known of the release's Gateway."""


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Puts together what one decision looks at."""

    store: Store
    kube: Kube
    prober: Prober
    golden: GoldenWatch
    evidence: EvidenceSource
    gateway: GatewayReader

    async def observe(
        self, release: Manifest, *, now: datetime, checked: datetime | None, write_problem: Problem | None
    ) -> Observed:
        """Return everything about a release that bears on the decision at this moment.

        Raises:
            Malformed: spec or status do not have the shape that this version knows.
        """
        meta = meta_of(release)
        observed = Observed(
            meta=meta,
            spec=codec.decode(Spec, release.get("spec") or {}, "spec"),
            status=codec.decode(Status, release.get("status") or {}, "status"),
            records=self._records(meta),
            jobs=await self._jobs(meta, now),
            deployments=self._deployments(meta),
            slots=self._slots(meta),
            routes=self._routes(meta),
            write_problem=write_problem,
        )
        if observed.status.candidate is None:
            self.golden.forget((meta.namespace, meta.name))
        return await self._ask(observed, needs(observed, now, checked))

    def look_again(self, key: Key, *, now: datetime) -> datetime | None:
        """Return when to look at Jobs whose pods do not come: nothing that is watched would tell."""
        waiting = [job for job in self.store.children(key, "Job") if _active(job) and not self._job_pods(key, job)]
        return now + LOOK_FOR_POD if waiting else None

    async def _ask(self, observed: Observed, wanted: Needs) -> Observed:
        """Return the observation with the answers of Triton, metrics and Gateway, asked all at once."""
        record = observed.records.get(wanted.probe) if wanted.probe else None
        meta, spec = observed.meta, observed.spec
        probe, evidence, gateway = await asyncio.gather(
            _maybe(self.prober.probe(meta=meta, spec=spec, record=record) if record else None),
            _maybe(self._evidence(observed, wanted.window) if wanted.window else None),
            _maybe(self.gateway.facts(meta=meta, spec=spec) if wanted.gateway else None),
        )
        return replace(observed, probe=probe, evidence=evidence, gateway=gateway or observed.gateway)

    async def _evidence(self, observed: Observed, window: Window) -> Evidence:
        """Return what the metrics count, and how the golden requests were answered last."""
        status = observed.status
        counted, golden = await asyncio.gather(
            self.evidence.read(
                meta=observed.meta,
                spec=observed.spec,
                protocols=observed.protocols,
                window=window,
                stable=status.stable.revision if status.stable else None,
                candidate=status.candidate.revision if status.candidate else None,
            ),
            self._golden(observed, window),
        )
        return replace(counted, golden=golden.checks, compared=golden.compared)

    async def _golden(self, observed: Observed, window: Window) -> GoldenAnswers:
        status, spec = observed.status, observed.spec
        candidate = observed.records.get(status.candidate.revision) if status.candidate else None
        if candidate is None or not spec.rollout.analysis.golden.enabled:
            return GoldenAnswers(checks=())
        return await self.golden.latest(
            meta=observed.meta,
            model=spec.model.name,
            candidate=candidate,
            stable=observed.records.get(status.stable.revision) if status.stable else None,
            compare=spec.rollout.analysis.golden.compare,
            due=window.golden,
            now=window.end,
        )

    def _records(self, meta: Meta) -> Mapping[str, Record]:
        found = {}
        for obj in self._children(meta, "ControllerRevision"):
            try:
                record = render.parse_record(obj)
            except codec.Malformed as error:
                log.warning("a revision is not known: %s", error)
                continue
            found[record.revision] = record
        return found

    async def _jobs(self, meta: Meta, now: datetime) -> tuple[JobFacts, ...]:
        key = (meta.namespace, meta.name)
        found = []
        for job in self._children(meta, "Job"):
            pods = self._job_pods(key, job)
            late = not pods and _active(job) and now - _created(job) >= POD_EXPECTED
            found.append(facts.job_facts(job, pods, await self._events(job) if late else ()))
        return tuple(found)

    def _job_pods(self, key: Key, job: Manifest) -> list[Manifest]:
        uid = job["metadata"]["uid"]
        return [pod for pod in self.store.children(key, "Pod") if _owned_by(pod, uid)]

    async def _events(self, job: Manifest) -> Sequence[Manifest]:
        """Return the Events about a Job; none where they can't be read: they only explain."""
        about = {"regarding.kind": "Job", "regarding.name": job["metadata"]["name"]}
        try:
            return (await self.kube.list("Event", namespace=job["metadata"]["namespace"], fields=about)).items
        except ApiError:
            return ()

    def _deployments(self, meta: Meta) -> Mapping[str, DeploymentFacts]:
        pods = self._children(meta, "Pod")
        found = {}
        for deployment in self._children(meta, "Deployment"):
            revision = _label(deployment, naming.LABEL_REVISION)
            mine = [pod for pod in pods if revision and _label(pod, naming.LABEL_REVISION) == revision]
            found[revision] = facts.deployment_facts(deployment, mine)
        return found

    def _slots(self, meta: Meta) -> Mapping[Slot, SlotFacts]:
        slices = self._children(meta, "EndpointSlice")
        pods = {pod["metadata"]["name"]: pod for pod in self._children(meta, "Pod")}
        services = {service["metadata"]["name"]: service for service in self._children(meta, "Service")}
        names = {slot: naming.service(meta.name, slot) for slot in Slot}
        return {
            slot: facts.slot_facts(services[name], slices, pods) for slot, name in names.items() if name in services
        }

    def _routes(self, meta: Meta) -> Mapping[seen.Protocol, RouteFacts]:
        found = {}
        for protocol, kind in naming.ROUTE_KINDS.items():
            for route in self._children(meta, kind):
                found[protocol] = facts.route_facts(route)
        return found

    def _children(self, meta: Meta, kind: str) -> list[Manifest]:
        return self.store.children((meta.namespace, meta.name), kind)


def meta_of(release: Manifest) -> Meta:
    """Return the identity of a release."""
    meta = release["metadata"]
    return Meta(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        generation=meta["generation"],
        resource_version=meta["resourceVersion"],
        annotations=meta.get("annotations") or {},
    )


async def _maybe(question: Awaitable[T] | None) -> T | None:
    return None if question is None else await question


def _label(obj: Mapping[str, Any], label: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(label, ""))


def _owned_by(obj: Mapping[str, Any], uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in obj["metadata"].get("ownerReferences") or ())


def _active(job: Mapping[str, Any]) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return not any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _created(obj: Mapping[str, Any]) -> datetime:
    return codec.parse_time(obj["metadata"]["creationTimestamp"])
