"""A spec and traffic for simulated releases."""

from __future__ import annotations

from dataclasses import replace

from modelrelease.domain.policy import Bake, Rollout, Step
from modelrelease.domain.spec import (
    ArtifactStore,
    Build,
    Data,
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
from modelrelease.simulate.scenario import Fault, Scenario

STEPS = tuple(Step(weight=weight) for weight in (5, 10, 25, 50))
SHORT = Scenario(requests_per_second=200, duration=2700, history=1800)
BAD = replace(SHORT, fault=Fault(size=0.05), duration=1200)


def a_spec(**rollout: object) -> Spec:
    wanted = {"steps": STEPS, "bake": Bake(duration=300), **rollout}
    return Spec(
        model=Model(name="digits", version="2", source=Source(uri="builtin://digits-cnn")),
        build=Build(
            image="builder:dev",
            recipe=(Pass(name="train"),),
            evaluation=Evaluation(data=Data(name="digits")),
            artifact_store=ArtifactStore(uri="pvc://artifacts/releases"),
        ),
        serving=Serving(triton=Triton(image="triton:dev")),
        traffic=Traffic(
            gateway=GatewayTraffic(
                parent_refs=(ParentRef(name="gateway"),), http=Hosts(hostnames=("digits.example.com",))
            )
        ),
        rollout=Rollout(**wanted),  # type: ignore[arg-type]
    )
