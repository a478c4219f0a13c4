"""A spec and traffic for simulated releases."""

from __future__ import annotations

from dataclasses import replace

from modelrelease.domain.policy import Bake, Step
from modelrelease.domain.spec import Spec
from modelrelease.simulate.scenario import Fault, Scenario

from tests.fakes import specs

STEPS = tuple(Step(weight=weight) for weight in (5, 10, 25, 50))
SHORT = Scenario(requests_per_second=200, duration=2700, history=1800)
BAD = replace(SHORT, fault=Fault(size=0.05), duration=1200)


def a_spec(**rollout: object) -> Spec:
    return specs.a_spec("2", **{"steps": STEPS, "bake": Bake(duration=300), **rollout})
