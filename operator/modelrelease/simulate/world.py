"""A cluster that obeys at once: routes are accepted as written, pods are ready when they are wanted.

It begins where a candidate's pods are about to be ready: both revisions are built, stable has
all the traffic. Everything after that is `decide`'s doing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from modelrelease.domain import naming
from modelrelease.domain.decide import decide
from modelrelease.domain.needs import needs
from modelrelease.domain.observed import (
    FLOOR_PPM,
    BuildResult,
    Contract,
    DeploymentFacts,
    GatewayFacts,
    Meta,
    Observed,
    ProbeResult,
    Protocol,
    Record,
    RouteFacts,
    Slot,
    SlotFacts,
)
from modelrelease.domain.plan import Needs, Plan, Remove, Want, WantDeployment, WantRecord, WantRoute, WantSlot
from modelrelease.domain.policy import Pause
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Artifact, Stable, Status

START = datetime(2000, 1, 1, tzinfo=UTC)  # what the traffic calls 0
NAME, NAMESPACE = "release", "default"
OLD = "stable"

_RESULT = BuildResult(
    artifact=Artifact(uri="file:///artifact", digest="sha256:0"), contract=Contract(inputs=(), outputs=()), metrics={}
)


def moment(t: float) -> datetime:
    """Return the moment of a time in seconds."""
    return START + timedelta(seconds=t)


def seconds(at: datetime) -> float:
    """Return the time in seconds of a moment."""
    return (at - START).total_seconds()


def rehearsed(spec: Spec) -> tuple[Spec, tuple[str, ...]]:
    """Return the spec as it is simulated, and what was changed: nobody is there to approve, nothing is built."""
    notes = []
    steps = tuple(replace(step, pause=_without_approval(step.pause)) for step in spec.rollout.steps)
    if steps != spec.rollout.steps:
        notes.append("approvals are taken to be given at once")
    if spec.suspend:
        notes.append("spec.suspend is taken to be false")
    rollout = spec.rollout
    build = replace(spec.build, evaluation=replace(spec.build.evaluation, gates=()))
    analysis = replace(rollout.analysis, golden=replace(rollout.analysis.golden, enabled=False))
    if rollout.analysis.golden.enabled:
        notes.append("golden requests are taken to be answered well")
    return replace(spec, suspend=False, build=build, rollout=replace(rollout, steps=steps, analysis=analysis)), tuple(
        notes
    )


def _without_approval(pause: Pause | None) -> Pause | None:
    if pause is None or not pause.until_approved:
        return pause
    return Pause(duration=pause.duration) if pause.duration is not None else None


@dataclass
class World:
    """The facts that `decide` looks at; evidence and clock are the player's."""

    spec: Spec
    status: Status
    records: dict[str, Record] = field(default_factory=dict)
    deployments: dict[str, DeploymentFacts] = field(default_factory=dict)
    slots: dict[Slot, SlotFacts] = field(default_factory=dict)
    routes: dict[Protocol, RouteFacts] = field(default_factory=dict)
    version: int = 0  # of the last written object

    @classmethod
    def before(cls, spec: Spec) -> World:
        """Return the world at time 0: stable serves, the candidate is built."""
        target = naming.revision(spec)
        stable = Stable(
            revision=OLD, version=OLD, artifact=_RESULT.artifact, replicas=spec.serving.replicas, since=START
        )
        world = cls(spec=spec, status=Status(observed_generation=1, stable=stable))
        for number, (revision, version) in enumerate(((OLD, OLD), (target, spec.model.version)), start=1):
            world.records[revision] = Record(
                revision=revision,
                artifact_key=naming.artifact_key(spec) if revision == target else OLD,
                version=version,
                result=_RESULT,
                template="{}",
                created=START,
                number=number,
            )
        world._deploy(OLD, spec.serving.replicas)
        for slot in Slot:
            world._select(slot, OLD)
        for protocol in world.observed().protocols:
            world.routes[protocol] = RouteFacts(candidate_ppm=FLOOR_PPM, accepted=True, resource_version="0")
        return world

    def observed(self) -> Observed:
        """Return the facts without what is asked for."""
        return Observed(
            meta=Meta(name=NAME, namespace=NAMESPACE, uid="uid", generation=1, resource_version=str(self.version)),
            spec=self.spec,
            status=self.status,
            records=dict(self.records),
            deployments=dict(self.deployments),
            slots=dict(self.slots),
            routes=dict(self.routes),
        )

    def asked(self, now: datetime, checked: datetime | None) -> tuple[Observed, Needs]:
        """Return the facts with Triton's and the Gateway's answers, and what else `needs` asks for."""
        observed = self.observed()
        wanted = needs(observed, now, checked)
        if wanted.probe:
            observed = replace(observed, probe=ProbeResult(revision=wanted.probe, ready=True))
        if wanted.gateway:
            facts = GatewayFacts(
                tells_slots_apart=True, mirrors=True, counts_mirrored_errors=frozenset(observed.protocols)
            )
            observed = replace(observed, gateway=facts)
        return observed, wanted

    def step(self, observed: Observed, now: datetime) -> tuple[Plan, bool]:
        """Decide on the facts and do what the plan wants; tell whether anything changed."""
        plan = decide(observed, now)
        changed = plan.status != self.status
        self.status = plan.status
        for want in plan.wants:
            changed = self._obey(want) or changed
        return plan, changed

    def _obey(self, want: Want) -> bool:
        match want:
            case WantDeployment():
                return self._deploy(want.revision, want.replicas)
            case WantSlot():
                return self._select(want.slot, want.revision)
            case WantRoute():
                return self._route(want)
            case WantRecord():
                return False  # known from the start
            case Remove(kind="Deployment"):
                return self.deployments.pop(want.uid, None) is not None
            case _:
                raise AssertionError(f"nothing in a simulated release calls for {want}")

    def _deploy(self, revision: str, replicas: int) -> bool:
        facts = DeploymentFacts(revision=revision, replicas=replicas, ready=replicas, settled=True, uid=revision)
        if self.deployments.get(revision) == facts:
            return False
        self.deployments[revision] = facts
        return True

    def _select(self, slot: Slot, revision: str) -> bool:
        if slot in self.slots and self.slots[slot].revision == revision:
            return False
        ready = self.deployments[revision].ready
        self.slots[slot] = SlotFacts(revision=revision, resource_version=self._next(), ready={revision: ready})
        return True

    def _route(self, want: WantRoute) -> bool:
        facts = self.routes.get(want.protocol)
        if facts is not None and (facts.candidate_ppm, facts.mirror) == (want.candidate_ppm, want.mirror):
            return False
        self.routes[want.protocol] = RouteFacts(
            candidate_ppm=want.candidate_ppm, accepted=True, resource_version=self._next(), mirror=want.mirror
        )
        return True

    def _next(self) -> str:
        self.version += 1
        return str(self.version)
