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

from modelrelease.domain.data import Data
from modelrelease.domain.policy import Rollout
from modelrelease.domain.refs import ConfigMapRef, SecretRef

Json = Mapping[str, Any]


class Against(StrEnum):
    """What a relative gate compares with."""

    SOURCE = "Source"
    STABLE = "Stable"


class OnInconclusive(StrEnum):
    """What a gate does that the test rows neither prove nor refute."""

    BLOCK = "Block"
    ALLOW = "Allow"


class Head(StrEnum):
    """What becomes of the last layer of weights from a file."""

    KEEP = "Keep"
    FRESH = "Fresh"


class Runtime(StrEnum):
    """The oldest ONNX Runtime that is to serve an artifact."""

    V1_14 = "1.14"
    V1_15 = "1.15"
    V1_17 = "1.17"
    V1_18 = "1.18"


class ExportFormat(StrEnum):
    """What an artifact can hold beside the ONNX graph."""

    TORCH_SCRIPT = "TorchScript"


@dataclass(frozen=True, kw_only=True)
class Code:
    """A function of the user's own that makes the network; naming it allows it to run in the build."""

    factory: str
    path: str | None = None
    parameters: Json = field(default_factory=dict)
    input_name: str = "input"
    output_name: str = "output"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the model comes from, the credentials of that place, and what its file has to be put into."""

    uri: str
    secret_ref: SecretRef | None = None
    file: str | None = None
    head: Head | None = None
    architecture: str | None = None
    parameters: Json | None = None
    code: Code | None = None


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
    """A condition on one metric of the build. Exactly one of the five bounds is set."""

    metric: str
    threshold: float | None = None
    max_degradation: float | None = None
    percent_max_degradation: float | None = None
    min_improvement: float | None = None
    percent_min_improvement: float | None = None
    against: Against = Against.SOURCE
    on_inconclusive: OnInconclusive = OnInconclusive.BLOCK


@dataclass(frozen=True, kw_only=True)
class Audit:
    """One audit of what was built; `parameters` are the builder's business."""

    audit: str
    parameters: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Export:
    """What the served graph holds beside the network, and in which formats it comes."""

    runtime: Runtime = Runtime.V1_18
    class_names: bool = False
    formats: tuple[ExportFormat, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Data and gates of the offline evaluation."""

    data: Data
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ArtifactStore:
    """Where artifacts are kept: a claim, a bucket or a registry."""

    uri: str
    secret_ref: SecretRef | None = None


@dataclass(frozen=True, kw_only=True)
class Signing:
    """The Secret with the key (`private-key.pem`) that signs what is built; the build alone gets it, as a file."""

    secret_ref: SecretRef


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The ConfigMap with the public keys (`public-key.pem`, one or several) of whoever may sign what is served."""

    config_map_ref: ConfigMapRef


@dataclass(frozen=True, kw_only=True)
class CaBundle:
    """The ConfigMap with the certificate authorities (`ca.crt`) of source, data and store, beside the public ones."""

    config_map_ref: ConfigMapRef


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
    audit: tuple[Audit, ...] = ()
    export: Export | None = None
    signing: Signing | None = None
    ca_bundle: CaBundle | None = None
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
    verification: Verification | None = None
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
class Spec:
    """The whole `spec`."""

    model: Model
    build: Build
    serving: Serving
    traffic: Traffic
    rollout: Rollout = field(default_factory=Rollout)
    suspend: bool = False
