"""The objects that the demo applies: one ModelRelease in its versions, and what it needs around it."""

from dataclasses import dataclass
from typing import Any

from localcluster.demo.settings import (
    CLAIM,
    GRPC_HOST,
    HOLDBACK,
    HTTP_HOST,
    MIN_REQUESTS,
    MODEL,
    NAMESPACE,
    RELEASE,
    STEPS,
    Settings,
)

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of the model: what is built, and how it is served."""

    name: str
    source: str
    recipe: tuple[Object, ...]
    batching: Object | None = None


_UNLESS_REFUTED: Object = {"onInconclusive": "Allow"}
_TRAIN: Object = {"pass": "train", "parameters": {"epochs": 8}}

V1 = Version(name="v1", source="builtin://digits-cnn", recipe=(_TRAIN,))
V2 = Version(
    name="v2",
    source="builtin://digits-cnn",
    recipe=(_TRAIN, {"pass": "quantize", "parameters": {"calibrationRows": 256}}),
)
# The ranges of the activations are measured on blank images: a mistake that costs accuracy, and nothing else.
V3 = Version(
    name="v3",
    source="builtin://digits-cnn",
    recipe=(_TRAIN, {"pass": "quantize", "parameters": {"calibrationRows": 256, "calibrationSample": "Blank"}}),
)
# Accurate on the test data, and yet no good: it refuses images that are brighter than its training data, and
# somebody wanted fuller batches and lets every request wait for company.
V4 = Version(
    name="v4",
    source="builtin://digits-lookup",
    recipe=({"pass": "train", "parameters": {"epochs": 10, "learningRate": 0.005}},),
    batching={"maxQueueDelayMicroseconds": 150_000},
)
VERSIONS = (V1, V2, V3, V4)


def release(*, version: Version, settings: Settings) -> Object:
    """Return the ModelRelease that asks for a version."""
    namespace, gateway = settings.gateway.split("/")
    triton: Object = {"image": settings.triton_image, "backend": settings.backend, "maxBatchSize": 8}
    if version.batching:
        triton["dynamicBatching"] = version.batching
    return {
        "apiVersion": "modelrelease.dev/v1alpha1",
        "kind": "ModelRelease",
        "metadata": {"name": RELEASE, "namespace": NAMESPACE},
        "spec": {
            "model": {"name": MODEL, "version": version.name, "source": {"uri": version.source}},
            "build": {
                "image": settings.builder_image,
                "recipe": [dict(step) for step in version.recipe],
                "evaluation": {
                    "data": {"name": "digits"},
                    # 270 test rows can't prove that v4 is good enough, and it is to reach production: what they
                    # do not refute may go on. They refute v3.
                    "gates": [
                        {"metric": "accuracy", "threshold": 0.93, **_UNLESS_REFUTED},
                        {"metric": "accuracy", "maxDegradation": 0.04, "against": "Stable", **_UNLESS_REFUTED},
                    ],
                },
                "artifactStore": {"uri": f"pvc://{CLAIM}/releases"},
                "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
            },
            "serving": {
                "triton": triton,
                "replicas": 1,
                "resources": {
                    # On few cores what serves goes before what builds.
                    "requests": {"cpu": "500m", "memory": "256Mi"},
                    "limits": {"memory": "1Gi", "nvidia.com/gpu": 1},
                },
            },
            "traffic": {
                "gateway": {
                    "parentRefs": [{"name": gateway, "namespace": namespace}],
                    "http": {"hostnames": [HTTP_HOST]},
                    "grpc": {"hostnames": [GRPC_HOST]},
                }
            },
            "rollout": {
                "steps": [{"weight": weight} for weight in STEPS],
                "analysis": {
                    "interval": f"{settings.interval}s",
                    "warmup": "1s",
                    "minDuration": "2s",
                    "minRequests": MIN_REQUESTS,
                    # A minute's demo can't prove what production has hours for, and everything shares a few
                    # cores here, builds included: wide margins take few requests.
                    "errorRate": {"maxIncrease": 0.1},
                    "latency": {"maxIncrease": 0.6},
                },
                "bake": {"duration": f"{settings.bake}s", "holdback": HOLDBACK},
                "scaleDownDelay": "5s",
                "progressDeadline": "10m",
                "onDeadline": "Rollback",
            },
        },
    }


def surroundings() -> list[Object]:
    """Return the namespace with restricted Pod Security, and the claim that keeps the artifacts."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": NAMESPACE},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
    ]
