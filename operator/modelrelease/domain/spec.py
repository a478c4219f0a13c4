"""The typed `spec` of a ModelRelease.

The CRD is the source of truth of the API; these dataclasses mirror it field by field
(`tests/api/test_crd_parity.py` holds them together). A field's name is the CRD's in
snake case; defaults live in the CRD's schema and are repeated here only so that pure
tests need not spell every field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Mapping[str, Any]


def seconds(default: float | None) -> Any:
    """Declare a duration: a Go-style string such as `1h30m` in the API, seconds here."""
    return field(default=default, metadata={"duration": True})


class OnDeadline(StrEnum):
    """What happens when a release made no progress for `progressDeadline`."""

    HOLD = "Hold"
    ROLLBACK = "Rollback"


class SchemaChange(StrEnum):
    """Whether the model's inputs and outputs may differ from the stable version's."""

    FORBID = "Forbid"
    ALLOW = "Allow"


class Against(StrEnum):
    """What a relative gate compares with."""

    SOURCE = "Source"
    STABLE = "Stable"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the model comes from."""

    uri: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is released: the name Triton serves, the version people say, the source."""

    name: str
    version: str
    source: Source


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One transformation of the recipe; `parameters` are the builder's business."""

    name: str = field(metadata={"key": "pass"})
    parameters: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A condition on one metric of the build. Exactly one of the two bounds is set."""

    metric: str
    threshold: float | None = None
    max_degradation: float | None = None
    against: Against = Against.SOURCE


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data set that trains and evaluates."""

    name: str
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Data and gates of the offline evaluation."""

    data: Data
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SecretRef:
    """A Secret in the release's namespace; its keys become environment variables."""

    name: str


@dataclass(frozen=True, kw_only=True)
class ArtifactStore:
    """Where artifacts are kept: `pvc://CLAIM/PATH` or `s3://BUCKET/PREFIX`."""

    uri: str
    secret_ref: SecretRef | None = None


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a pod may run and as whom."""

    resources: Json = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Json, ...] = ()
    service_account_name: str | None = None
    image_pull_secrets: tuple[SecretRef, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Build(Placement):
    """The build Job."""

    image: str
    recipe: tuple[Pass, ...]
    evaluation: Evaluation
    artifact_store: ArtifactStore
    backoff_limit: int = 2
    active_deadline_seconds: int = 3600


@dataclass(frozen=True, kw_only=True)
class DynamicBatching:
    """Triton's dynamic batcher."""

    max_queue_delay_microseconds: int = 100
    max_queue_size: int = 0
    preferred_batch_sizes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Triton:
    """The Triton server and how it serves the model."""

    image: str
    backend: str = "onnxruntime"
    max_batch_size: int = 8
    dynamic_batching: DynamicBatching | None = None
    instance_count: int = 1
    warmup: bool = True
    startup_seconds: int = 300


@dataclass(frozen=True, kw_only=True)
class Serving(Placement):
    """The serving Deployment of each revision."""

    triton: Triton
    replicas: int = 1
    runtime_class_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class ParentRef:
    """A Gateway that serves the release's hostnames."""

    name: str
    namespace: str | None = None
    section_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """The hostnames of one protocol."""

    hostnames: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GatewayTraffic:
    """Traffic split by a Gateway API gateway; at least one protocol is set."""

    parent_refs: tuple[ParentRef, ...]
    http: Hosts | None = None
    grpc: Hosts | None = None


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """How requests reach the model."""

    gateway: GatewayTraffic


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A stop after a step's analysis passed: for a time, or until someone approves."""

    duration: float | None = seconds(None)
    until_approved: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the rollout: `weight` percent of the traffic to the candidate."""

    weight: int
    pause: Pause | None = None


class OnInconclusive(StrEnum):
    """What happens when a step's evidence is still inconclusive at `stepDeadline`."""

    HOLD = "Hold"
    ROLLBACK = "Rollback"
    ADVANCE = "Advance"  # only while no metric is amber


@dataclass(frozen=True, kw_only=True)
class ErrorRate:
    """The candidate's failure ratio p_c may be at most `max_increase + (1 + max_relative_increase) * p_s`."""

    max_increase: float = 0.005
    max_relative_increase: float = 0.1
    objective: float | None = None  # an absolute ratio (SLO) that the candidate may not exceed


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The share of requests slower than a bucket bound may grow as far as `ErrorRate` says of failures.

    The bounds are frozen before the first traffic: `objective` rounded up to a bucket, else stable's p90 and p99.
    """

    max_increase: float = 0.005
    max_relative_increase: float = 0.5
    objective: float | None = seconds(None)


@dataclass(frozen=True, kw_only=True)
class CustomMetric:
    """A metric of the user's own: exactly one of the pairs `bad`/`total`, `sum`/`count`, `value`/`threshold`.

    `bad`, `total`, `sum` and `count` are selectors of counters in which `$slot` stands for the slot's
    Service, `$revision` for the revision; `sum` adds up losses in 0..1. `value` is any query of one number.
    """

    name: str
    bad: str | None = None
    total: str | None = None
    sum: str | None = None
    count: str | None = None
    value: str | None = None
    threshold: float | None = None
    max_increase: float = 0.01
    max_relative_increase: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Golden:
    """The prober: the artifact's golden requests, sent to both slots' pods on a schedule."""

    enabled: bool = True
    interval: float = seconds(60.0)


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """When evidence is looked at, how much is needed, and what it must show."""

    interval: float = seconds(15.0)
    warmup: float = seconds(60.0)  # of each step: not counted
    min_duration: float = seconds(60.0)  # of each step, after the warm-up
    min_requests: int = 50  # of the candidate, at each step
    step_deadline: float = seconds(1800.0)
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD
    bad_request_budget: int = 100
    error_rate: ErrorRate = ErrorRate()
    latency: Latency = Latency()
    metrics: tuple[CustomMetric, ...] = ()
    golden: Golden = Golden()


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """Copies of live requests that the candidate answers to nobody, before its first step and between steps."""

    percent: int = 100
    duration: float = seconds(300.0)


@dataclass(frozen=True, kw_only=True)
class Bake:
    """How long the old version stays loaded after promotion, and what it is compared with meanwhile.

    The control is `holdback` percent of the traffic that stay on the old version, or `mirror` percent copied to it.
    """

    duration: float = seconds(3600.0)
    holdback: int = 1
    mirror: int = 0


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How traffic moves to a new revision. No steps means that they are planned from today's traffic."""

    steps: tuple[Step, ...] = ()
    shadow: Shadow | None = None
    analysis: Analysis = Analysis()
    bake: Bake = Bake()
    schema_change: SchemaChange = SchemaChange.FORBID
    progress_deadline: float = seconds(3600.0)
    on_deadline: OnDeadline = OnDeadline.HOLD
    scale_down_delay: float = seconds(30.0)
    revision_history_limit: int = 10


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The whole `spec`."""

    model: Model
    build: Build
    serving: Serving
    traffic: Traffic
    rollout: Rollout = Rollout()
    suspend: bool = False
