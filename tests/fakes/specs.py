"""A typed spec of a release, for tests that need no manifest."""

from __future__ import annotations

from typing import Any

from modelrelease.domain.data import Data
from modelrelease.domain.policy import Rollout
from modelrelease.domain.spec import (
    ArtifactStore,
    Build,
    Evaluation,
    Gate,
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


def a_spec(version: str, *, replicas: int = 1, grpc: bool = False, **rollout: Any) -> Spec:
    """Return a spec with these fields of `rollout`."""
    return Spec(
        model=Model(name="digits", version=version, source=Source(uri="builtin://digits-cnn")),
        build=Build(
            image="builder:dev",
            recipe=(Pass(name="train", parameters={"version": version}),),
            evaluation=Evaluation(data=Data(name="digits"), gates=(Gate(metric="accuracy", threshold=0.9),)),
            artifact_store=ArtifactStore(uri="pvc://artifacts/releases"),
        ),
        serving=Serving(triton=Triton(image="triton:dev"), replicas=replicas),
        traffic=Traffic(
            gateway=GatewayTraffic(
                parent_refs=(ParentRef(name="gateway"),),
                http=Hosts(hostnames=("digits.example.com",)),
                grpc=Hosts(hostnames=("grpc.digits.example.com",)) if grpc else None,
            )
        ),
        rollout=Rollout(**rollout),
    )
