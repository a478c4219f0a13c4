"""What was seen of the world, as facts: no manifest, no client, no clock.

`Unknown` is not absent: a fact that could not be read is an `Unknown` with the reason,
and `decide` neither creates, raises nor removes anything because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from modelrelease.domain.counts import Evidence
from modelrelease.domain.problem import Problem
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Artifact, Status

PPM = 1_000_000
FLOOR_PPM = 1


class Slot(StrEnum):
    """The three permanent Services of a release; the first two are the route's backends, in that order."""

    STABLE = "stable"
    CANDIDATE = "candidate"
    PREVIEW = "preview"


class Protocol(StrEnum):
    """One route each."""

    HTTP = "http"
    GRPC = "grpc"


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One input or output of the model; `shape` has -1 where a dimension is dynamic, without the batch."""

    name: str
    datatype: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The model's inputs and outputs."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batchable: bool = True


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number of the offline evaluation and the rows behind it (0 where rows mean nothing).

    `bounds` are the exact lower and upper one at 95 %, then, of a model that was built, both at half of alpha; None
    where there is none, and () in the record of a builder that gave no bounds. `source` and `stable` tell how it
    changed against that model on the same rows: bounds of the difference, bounds of the ratio and, for a share, how
    many rows only this model and only the other one answered rightly.
    """

    value: float
    rows: int = 0
    bounds: tuple[float | None, ...] = ()
    source: tuple[float | None, ...] = ()
    stable: tuple[float | None, ...] = ()

    @property
    def interval(self) -> tuple[float | None, float | None] | None:
        """Lower and upper bound at 95 %; None where the record has none."""
        return (self.bounds[0], self.bounds[1]) if self.bounds else None

    @property
    def half(self) -> tuple[float | None, float | None]:
        """Lower and upper bound at half of alpha, as far as they are known."""
        return (self.bounds[2], self.bounds[3]) if len(self.bounds) > 2 else (None, None)


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What the build Job said in its termination message.

    `compared` is the digest of the stable artifact that was measured on the same rows, None where none was.
    """

    artifact: Artifact
    contract: Contract
    metrics: Mapping[str, Metric]
    compared: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """A known revision, kept in a ControllerRevision: enough to serve it again without a build.

    `template` is the pod template as JSON text, rendered once and reused word for word.
    """

    revision: str
    artifact_key: str
    version: str
    result: BuildResult
    template: str
    created: datetime
    number: int = 1
    uid: str = ""
    resource_version: str = ""


class JobState(StrEnum):
    """A Job's end, or that it runs."""

    ACTIVE = "Active"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """A build Job. A succeeded Job without `result` has an unreadable answer, told in `problem`."""

    name: str
    artifact_key: str
    attempt: int
    state: JobState
    result: BuildResult | None = None
    problem: Problem | None = None
    uid: str = ""
    resource_version: str = ""


@dataclass(frozen=True, kw_only=True)
class DeploymentFacts:
    """A revision's Deployment."""

    revision: str
    replicas: int  # wanted
    ready: int
    settled: bool  # the controller saw the latest generation and all wanted replicas are ready
    problem: Problem | None = None
    uid: str = ""
    resource_version: str = ""


@dataclass(frozen=True, kw_only=True)
class SlotFacts:
    """A slot's Service: which revision it selects, and the ready endpoints by revision."""

    revision: str
    resource_version: str
    ready: Mapping[str, int] = field(default_factory=dict)

    def serves(self, revision: str) -> bool:
        """Tell whether the slot selects `revision` and has ready endpoints of it and no others."""
        return self.revision == revision and self.ready.get(revision, 0) > 0 and set(self.ready) == {revision}


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """A copy of `percent` of the route's requests that goes to a slot, whose answers are thrown away."""

    slot: Slot
    percent: int


@dataclass(frozen=True, kw_only=True)
class RouteFacts:
    """One of our routes.

    `candidate_ppm` is the candidate slot's weight as written, None where somebody edited the
    rules so that our two backends are no longer what they hold; `accepted` is whether the
    gateway has accepted exactly that generation (all parents, references resolved). `mirror` is
    the copy of its requests that the route makes, as written.
    """

    candidate_ppm: int | None
    accepted: bool
    resource_version: str
    mirror: Mirror | None = None
    problem: Problem | None = None
    uid: str = ""

    @property
    def candidate_at_floor(self) -> bool:
        """Whether the gateway is known to send the candidate slot no more than the floor."""
        return self.accepted and self.candidate_ppm is not None and self.candidate_ppm <= FLOOR_PPM

    @property
    def stable_at_floor(self) -> bool:
        """Whether the gateway is known to send the stable slot no more than the floor."""
        return self.accepted and self.candidate_ppm is not None and PPM - self.candidate_ppm <= FLOOR_PPM


@dataclass(frozen=True, kw_only=True)
class GatewayFacts:
    """What the gateway adapter knows of the Gateway behind the release's parentRefs.

    `problem` is why routes can't be trusted there: API not installed, Gateway absent, a
    hostname that another route holds. `tells_slots_apart` is the capability of its metrics,
    `mirrors` whether it copies requests to another Service and counts the copies apart. A copy
    that fails is seen only with the protocols in `counts_mirrored_errors`: with others, no failure
    counted is no success.
    """

    tells_slots_apart: bool
    mirrors: bool = False
    counts_mirrored_errors: frozenset[Protocol] = frozenset()
    problem: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """The answer of the candidate's Triton, asked through the preview Service."""

    revision: str
    ready: bool  # model ready, contract as recorded, smoke inference finite
    problem: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A fact that could not be read just now."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Meta:
    """The release's identity. `resource_version` is the one this decision rests on."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything `decide` looks at, read at one moment.

    `probe` and `evidence` are None when they were not asked for (`needs` says when they are).
    `write_problem` is what the API server answered to the last write, if it refused it.
    """

    meta: Meta
    spec: Spec
    status: Status
    records: Mapping[str, Record] = field(default_factory=dict)  # by revision
    jobs: tuple[JobFacts, ...] = ()
    deployments: Mapping[str, DeploymentFacts] = field(default_factory=dict)  # by revision
    slots: Mapping[Slot, SlotFacts] = field(default_factory=dict)
    routes: Mapping[Protocol, RouteFacts] = field(default_factory=dict)
    gateway: GatewayFacts | Unknown = field(default_factory=lambda: Unknown(message="not read yet"))
    probe: ProbeResult | None = None
    evidence: Evidence | None = None
    write_problem: Problem | None = None

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols that the spec routes."""
        gateway = self.spec.traffic.gateway
        wanted = ((Protocol.HTTP, gateway.http), (Protocol.GRPC, gateway.grpc))
        return tuple(protocol for protocol, hosts in wanted if hosts is not None)
