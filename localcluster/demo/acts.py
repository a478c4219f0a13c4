"""The acts of the demo: what is applied, what is awaited, and how each has to end."""

from dataclasses import dataclass

from localcluster.demo import checks as told
from localcluster.demo.releases import V1, V2, V3, V4, Version
from localcluster.demo.settings import STEPS, Settings

# On two cores, with everything built and cached.
_CLUSTER_S, _OPERATOR_S, _BUILD_S, _START_S, _SETTLE_S = 45.0, 20.0, 30.0, 20.0, 15.0
_STEP_S = 15.0  # three blocks of evidence, and a look


@dataclass(frozen=True, kw_only=True)
class Act:
    """One act."""

    key: str
    title: str
    expected: float
    """Seconds that it should take."""
    version: Version | None = None
    """What is applied; None for the acts that prepare the stage."""
    checks: told.Checks | None = None
    stays_s: float = 0.0
    """How long the end must last, to see that nothing happens."""


def acts(settings: Settings) -> tuple[Act, ...]:
    """Return the acts in order."""
    step = max(_STEP_S, float(settings.interval))
    climb = len(STEPS) * step + max(float(settings.bake), step)
    return (
        Act(key="cluster", title="a real Kubernetes comes up", expected=_CLUSTER_S),
        Act(key="operator", title="the operator moves in, under its own rights", expected=_OPERATOR_S),
        Act(
            key="v1",
            title="v1 (FP32) is built and becomes stable",
            expected=_BUILD_S + _START_S,
            version=V1,
            checks=told.became_stable(V1.name),
        ),
        Act(
            key="v2",
            title="v2 (INT8) climbs step by step and is promoted",
            expected=_BUILD_S + _START_S + climb + 2 * _SETTLE_S,
            version=V2,
            checks=told.promoted(V2.name),
        ),
        Act(
            key="v3",
            title="v3 (badly calibrated) fails its accuracy gate",
            expected=_BUILD_S,
            version=V3,
            checks=told.gated(V3.name, stable=V2.name),
        ),
        Act(
            key="v4",
            title="v4 passes its gates, fails in production, is rolled back",
            expected=2 * _BUILD_S + _START_S + step + _SETTLE_S,
            version=V4,
            checks=told.rolled_back(V4.name, stable=V2.name),
        ),
        Act(
            key="revert",
            title="back to v2: nothing is built",
            expected=10.0,
            version=V2,
            checks=told.reverted(V2.name),
            stays_s=8.0,
        ),
    )
