"""Releases for end-to-end tests and benchmarks: one artifact, many revisions.

How long a request waits for its batch is part of the revision and not of the artifact. So each
delay is a version of its own that is served anew, and only the first of them is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcluster.demo.releases import Version
from localcluster.demo.releases import release as demo_release
from localcluster.demo.settings import Settings

Object = dict[str, Any]

CLAIM = "artifacts"
STEPS = (20, 50)
# A short training: what is tested here is the way to production, not the model.
_RECIPE: tuple[Object, ...] = ({"pass": "train", "parameters": {"epochs": 2}},)


def http_host(name: str) -> str:
    """Return the hostname of a release's HTTP route."""
    return f"{name}.e2e.example"


def grpc_host(name: str) -> str:
    """Return the hostname of a release's gRPC route."""
    return f"{name}-grpc.e2e.example"


def release(
    *,
    namespace: str,
    name: str = "digits",
    delay: int = 100,
    steps: Sequence[int] = STEPS,
    interval: str = "2s",
    grpc: bool = True,
    **changes: Any,
) -> Object:
    """Return a release that serves the model with a batching delay in microseconds.

    `changes` replace parts of the spec, named by a path such as `serving__replicas`.
    """
    version = Version(
        name=f"delay-{delay}",
        source="builtin://digits-cnn",
        recipe=_RECIPE,
        batching={"maxQueueDelayMicroseconds": delay},
    )
    made = demo_release(version=version, settings=Settings())
    made["metadata"] = {"name": name, "namespace": namespace}
    spec = made["spec"]
    spec["build"]["evaluation"].pop("gates")
    spec["build"]["artifactStore"]["uri"] = f"pvc://{CLAIM}/releases"
    gateway = spec["traffic"]["gateway"]
    gateway["http"] = {"hostnames": [http_host(name)]}
    gateway["grpc"] = {"hostnames": [grpc_host(name)]}
    if not grpc:
        gateway.pop("grpc")
    spec["rollout"] = {
        "steps": [{"weight": weight} for weight in steps],
        # A busy machine delays a few requests at random, and few requests decide here: only what is far off fails.
        "analysis": {
            "interval": interval,
            "warmup": "0s",
            "minDuration": "1s",
            "minRequests": 5,
            "errorRate": {"maxIncrease": 0.1},
            "latency": {"maxIncrease": 0.8, "maxRelativeIncrease": 0},
        },
        "bake": {"duration": "0s"},
        "scaleDownDelay": "1s",
        "progressDeadline": "5m",
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = spec
        for parent in parents:
            place = place[parent]
        place[last] = value
    return made


def failing(made: Object) -> Object:
    """Make a release's candidate slow and refuse requests: it waits long for a batch, and lets nobody queue."""
    batching = made["spec"]["serving"]["triton"]["dynamicBatching"]
    batching |= {"maxQueueDelayMicroseconds": 200_000 + batching["maxQueueDelayMicroseconds"], "maxQueueSize": 1}
    return made


def surroundings(namespace: str) -> list[Object]:
    """Return a namespace under restricted Pod Security, and the claim that keeps its artifacts."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": namespace},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
    ]
