"""Offline gates: the build's metrics against the spec, before any traffic.

The operator judges stored metrics, so that a changed gate needs no new build. A metric
that the build did not report fails its gate.
"""

from __future__ import annotations

from collections.abc import Mapping

from modelrelease.domain.observed import Metric
from modelrelease.domain.spec import Against, Gate

# Everything else is better when it is higher.
LOWER_IS_BETTER = frozenset({"sizeBytes", "latencyP50Ms", "latencyP95Ms", "loss"})


def failed_gate(
    *, gates: tuple[Gate, ...], metrics: Mapping[str, Metric], stable: Mapping[str, Metric] | None
) -> str | None:
    """Return a sentence about the first gate that does not hold, None if all do.

    `stable` holds the stable revision's metrics; None on a first release, where gates
    against Stable have nothing to compare with and hold.
    """
    for gate in gates:
        if (reason := _judge(gate, metrics, stable)) is not None:
            return reason
    return None


def _judge(gate: Gate, metrics: Mapping[str, Metric], stable: Mapping[str, Metric] | None) -> str | None:
    found = metrics.get(gate.metric)
    if found is None:
        known = ", ".join(sorted(metrics)) or "none"
        return f"gate {gate.metric}: the build reported no such metric (it reported: {known})"
    rows = f" on {found.rows} rows" if found.rows else ""
    lower = gate.metric in LOWER_IS_BETTER
    if gate.threshold is not None:
        if (found.value > gate.threshold) if lower else (found.value < gate.threshold):
            bound = "at most" if lower else "at least"
            return f"gate {gate.metric}: {found.value:.4g}{rows}, required {bound} {gate.threshold:g}"
        return None
    if gate.against is Against.STABLE and stable is None:
        return None
    base = (
        stable.get(gate.metric) if gate.against is Against.STABLE and stable else metrics.get(f"{gate.metric}.source")
    )
    if base is None:
        return f"gate {gate.metric}: there is no {gate.metric} of {gate.against} to compare {found.value:.4g} with"
    loss = (found.value - base.value) if lower else (base.value - found.value)
    if gate.max_degradation is not None and loss > gate.max_degradation + 1e-12:
        return (
            f"gate {gate.metric}: {found.value:.4g}{rows} against {base.value:.4g} of {gate.against}, "
            f"worse by {loss:.4g}, allowed {gate.max_degradation:g}"
        )
    return None
