"""A release that uses every field that rendering reads, and all that is rendered for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from modelrelease import render
from modelrelease.domain.data import Data
from modelrelease.domain.observed import BuildResult, Contract, Meta, Metric, Mirror, Slot, Tensor
from modelrelease.domain.plan import WantJob, WantRecord
from modelrelease.domain.refs import SecretRef
from modelrelease.domain.spec import (
    ArtifactStore,
    Build,
    DynamicBatching,
    Evaluation,
    GatewayTraffic,
    Hosts,
    Model,
    ParentRef,
    Pass,
    Serving,
    Source,
    Spec,
    Traffic,
    Triton,
)
from modelrelease.domain.status import Artifact

from model_builder import spec as builder
from model_builder.decode import decode

META = Meta(
    name="digits", namespace="vision", uid="6f9619ff-8b86-4011-b42d-00c04fc964ff", generation=3, resource_version="42"
)
REVISION = "0a1b2c3d4e"
OTHER = "5f6a7b8c9d"
KEY = "aabbccddee"
CONFIG = render.RenderConfig(puller_image="registry.example/puller:1")
GPU_NODES = {
    "node_selector": {"nvidia.com/gpu.product": "H100"},
    "tolerations": ({"key": "nvidia.com/gpu", "operator": "Exists", "value": "", "effect": "NoSchedule"},),
    "image_pull_secrets": (SecretRef(name="registry"),),
}

SPEC = Spec(
    model=Model(name="digits", version="2026.11.1", source=Source(uri="builtin://digits")),
    build=Build(
        image="registry.example/builder@sha256:" + "0" * 64,
        recipe=(Pass(name="train", parameters={"epochs": 3}), Pass(name="quantize")),
        evaluation=Evaluation(data=Data(name="digits", seed=7)),
        artifact_store=ArtifactStore(uri="pvc://models/releases/digits"),
        resources={"limits": {"cpu": "2000m", "memory": "4Gi"}},
        service_account_name="model-builder",
        backoff_limit=1,
        active_deadline_seconds=900,
        **GPU_NODES,
    ),
    serving=Serving(
        triton=Triton(
            image="registry.example/triton:26.07",
            dynamic_batching=DynamicBatching(preferred_batch_sizes=(4, 8)),
            instance_count=2,
            startup_seconds=122,
        ),
        replicas=3,
        resources={"limits": {"nvidia.com/gpu": 1, "memory": "1.5Gi"}, "requests": {"cpu": "0.5"}},
        service_account_name="model-server",
        **GPU_NODES,
    ),
    traffic=Traffic(
        gateway=GatewayTraffic(
            parent_refs=(ParentRef(name="edge", namespace="gateways", section_name="web"), ParentRef(name="inner")),
            http=Hosts(hostnames=("digits.example.com",)),
            grpc=Hosts(hostnames=("grpc.digits.example.com",)),
        )
    ),
)

RESULT = BuildResult(
    artifact=Artifact(uri="pvc://models/releases/digits/sha256-ab", digest="sha256:" + "ab" * 32),
    contract=Contract(
        inputs=(Tensor(name="image", datatype="FP32", shape=(1, 8, 8)),),
        outputs=(Tensor(name="logits", datatype="FP32", shape=(10,)),),
    ),
    metrics={
        "accuracy": Metric(
            value=0.9907,
            rows=540,
            bounds=(0.9806, 0.9964, 0.9785, 0.997),
            stable=(-0.0055, 0.0055, None, None, 0, 0),
        ),
        "sizeBytes": Metric(value=170711),
    },
    compared="sha256:" + "cd" * 32,
)


def on_s3(spec: Spec = SPEC) -> Spec:
    """Return the release with its artifacts in S3."""
    store = ArtifactStore(uri="s3://artifacts/releases", secret_ref=SecretRef(name="s3"))
    return replace(spec, build=replace(spec.build, artifact_store=store))


def template(spec: Spec = SPEC) -> dict[str, Any]:
    return render.pod_template(meta=META, spec=spec, revision=REVISION, result=RESULT, config=CONFIG)


def job(spec: Spec = SPEC, *, stable: Artifact | None = None) -> dict[str, Any]:
    return render.job(meta=META, spec=spec, want=WantJob(artifact_key=KEY, attempt=2, stable=stable))


def handed_over(spec: Spec) -> builder.Spec:
    """Return what the builder reads in the environment of the Job."""
    (container,) = job(spec)["spec"]["template"]["spec"]["containers"]
    (value,) = [entry["value"] for entry in container["env"] if entry["name"] == "MODEL_BUILD_SPEC"]
    return decode(builder.Spec, json.loads(value.replace("$$", "$")), where="spec")


def record(spec: Spec = SPEC) -> dict[str, Any]:
    want = WantRecord(revision=REVISION, artifact_key=KEY, version=spec.model.version, result=RESULT, number=4)
    return render.record(meta=META, want=want, template=template(spec))


def as_stored(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with what the API server adds to every object."""
    added = {"creationTimestamp": "2026-11-22T10:00:00Z", "uid": "11111111-2222", "resourceVersion": "77"}
    return {**manifest, "metadata": {**manifest["metadata"], **added}}


def deployment(*, replicas: int = 3) -> dict[str, Any]:
    return render.deployment(meta=META, record=render.parse_record(as_stored(record())), replicas=replicas)


def routes(
    *, ppm: int = 250_000, filters: bool = True, mirror: Mirror | None = None, spec: Spec = SPEC
) -> list[dict[str, Any]]:
    return [
        make(
            meta=META,
            spec=spec,
            gateway_filters=filters,
            stable_revision=REVISION,
            candidate_revision=OTHER,
            candidate_ppm=ppm,
            mirror=mirror,
        )
        for make in (render.http_route, render.grpc_route)
    ]


def everything() -> list[dict[str, Any]]:
    """Return all manifests of the release."""
    services = [render.service(meta=META, slot=slot, revision=REVISION) for slot in Slot]
    pdb = render.pdb(meta=META, revision=REVISION, deployment_uid="d-1")
    mirrored = routes(mirror=Mirror(slot=Slot.PREVIEW, percent=100))
    for route in mirrored:
        route["metadata"]["name"] = "digits-mirrored"
    return [job(), record(), deployment(), pdb, *services, *routes(), *mirrored]
