"""What was seen of the world, as facts: no manifest, no client, no clock.

`Unknown` is not absent: a fact that could not be read is an `Unknown` with the reason,
and `decide` neither creates, raises nor removes anything because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

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
    """One number of the offline evaluation and the rows behind it (0 where rows mean nothing)."""

    value: float
    rows: int = 0


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What the build Job said in its termination message."""

    artifact: Artifact
    contract: Contract
    metrics: Mapping[str, Metric]


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


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why something does not get on, said so that a person can act.

    `waiting` problems (no GPU free, quota) are waited out and do not count against the
    deadline; `fatal` ones end the attempt.
    """

    reason: str
    message: str
    waiting: bool = False
    fatal: bool = False
    what: str = ""  # what is awaited, for waitingFor: "1 nvidia.com/gpu"


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
class CustomCount:
    """What one metric of `spec.rollout.analysis.metrics` counted: bad ones (or a sum of losses in 0..1) of all."""

    name: str
    bad: float
    total: float


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Inputs that both versions answered, drawn from live requests, none twice; ties count in `count` only."""

    count: float
    worse: float  # where the candidate's answer was the worse one
    better: float


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm's counts in a stretch of time; `latency` holds (upper bound in ms, cumulative count).

    `classes` counts the answers by predicted class; `pairs` is in the candidate's or the shadow's arm.
    """

    requests: float = 0.0
    failures: float = 0.0
    latency: tuple[tuple[float, float], ...] = ()
    custom: tuple[CustomCount, ...] = ()
    classes: tuple[tuple[str, float], ...] = ()
    pairs: Pairs | None = None


@dataclass(frozen=True, kw_only=True)
class Block:
    """The disjoint increments of all arms in one interval of one weight.

    `shadow` is what the candidate answered to mirrored requests: nobody saw those answers. In the
    bake the roles stay: `candidate` serves, `stable` is the control (hold-back or reverse mirror).
    A block in which nothing was scraped has empty arms and says nothing.
    """

    start: datetime
    end: datetime
    stable: Arm = Arm()
    candidate: Arm = Arm()
    shadow: Arm = Arm()


@dataclass(frozen=True, kw_only=True)
class History:
    """Stable's counts before the candidate had traffic: one arm for each window of `block` seconds, oldest first.

    `by_process` splits the same windows by scraped process (gateway pod, serving pod) where the source can:
    one tuple of arms per window, always in the same order of processes.
    """

    block: float
    windows: tuple[Arm, ...] = ()
    by_process: tuple[tuple[Arm, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class GoldenCheck:
    """One run of the artifact's golden requests against a slot: how many were asked and what went wrong.

    `wrong` is an answer that differs from the expected output by more than the tolerance;
    `message` names the first failure. Each failure was confirmed by a second try. `problem` is why
    nothing was asked, which says nothing of the model: one that is `waiting` passes, else the
    revision has no golden requests that could be asked.
    """

    revision: str
    at: datetime
    asked: int
    failed: int = 0  # no answer, an error status, another schema
    not_finite: int = 0
    wrong: int = 0
    latency_ms: float | None = None  # median
    message: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class GoldenComparison:
    """Candidate's and stable's answers to the candidate's golden requests, which both got: numbers for people.

    `largest` and `mean` are absolute differences over all numbers of all outputs. `choices` counts
    the rows of outputs that choose among several values (top-1), `changed` those where they choose
    another one.
    """

    candidate: str  # revision
    stable: str
    at: datetime
    rows: int
    largest: float
    mean: float
    choices: int = 0
    changed: int = 0
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Counts of all arms between two moments, or why there are none (`error`).

    `blocks` are on the grid that was asked for, oldest first, complete ones only. `scrape` is the
    spacing of the samples in seconds, as seen. `stable` and `candidate` are the sums over the window.
    """

    start: datetime
    end: datetime
    stable: Arm = Arm()
    candidate: Arm = Arm()
    blocks: tuple[Block, ...] = ()
    history: History | None = None
    scrape: float | None = None
    values: tuple[CustomCount, ...] = ()  # metrics of kind value: `bad` is the value, `total` 1 (0 where there is none)
    problems: Mapping[str, Problem] = field(default_factory=dict)  # by custom metric: why it has no numbers
    golden: tuple[GoldenCheck, ...] = ()  # of candidate and stable, where they were asked
    compared: GoldenComparison | None = None
    saturated: str = ""  # why the candidate can take no more copies, in words
    error: Problem | None = None
    error_query: str = ""
    latency_query: str = ""


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
