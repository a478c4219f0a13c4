"""Releases as people write them."""

from __future__ import annotations

import copy
from typing import Any

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming

NAMESPACE = "vision"
NAME = "digits"

SPEC: dict[str, Any] = {
    "model": {"name": "digits", "version": "1", "source": {"uri": "builtin://digits-cnn"}},
    "build": {
        "image": "registry.example/model-builder:1",
        "recipe": [{"pass": "train", "parameters": {"epochs": 3}}],
        "evaluation": {"data": {"name": "digits"}, "gates": [{"metric": "accuracy", "threshold": 0.9}]},
        "artifactStore": {"uri": "pvc://artifacts/releases"},
    },
    "serving": {"triton": {"image": "registry.example/triton:1"}, "replicas": 2},
    "traffic": {
        "gateway": {
            "parentRefs": [{"name": "public", "namespace": "gateways"}],
            "http": {"hostnames": ["digits.example"]},
            "grpc": {"hostnames": ["digits-grpc.example"]},
        }
    },
    "rollout": {
        "steps": [{"weight": 10}, {"weight": 50}],
        "analysis": {"interval": "10s", "warmup": "0s", "minDuration": "1s"},
        "bake": {"duration": "1m"},
        "scaleDownDelay": "30s",
    },
}


def release(*, name: str = NAME, namespace: str = NAMESPACE, version: str = "1", **changes: Any) -> Manifest:
    """Return a ModelRelease; `changes` replace parts of spec by a path such as `rollout__bake`."""
    spec = copy.deepcopy(SPEC)
    set_version(spec, version)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = spec
        for parent in parents:
            place = place[parent]
        place[last] = value
    return {
        "apiVersion": f"{naming.GROUP}/{naming.VERSION}",
        "kind": naming.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def set_version(spec: dict[str, Any], version: str) -> None:
    """Make a spec ask for another model."""
    spec["model"]["version"] = version
    spec["model"]["source"]["uri"] = f"builtin://digits-cnn?{version}"
