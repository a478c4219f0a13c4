"""Judges metrics against the gates of a spec: for a laptop; in a cluster the operator judges the reported metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from model_builder.metrics import METRICS, SOURCE_SUFFIX, Metric
from model_builder.spec import Gate


@dataclass(frozen=True)
class Verdict:
    """What became of one gate."""

    gate: Gate
    passed: bool
    message: str

    def to_json(self) -> dict[str, Any]:
        """As it appears in the manifest."""
        return {"metric": self.gate.metric, "verdict": "Pass" if self.passed else "Fail", "message": self.message}


def judge(gates: Iterable[Gate], *, metrics: Mapping[str, Metric]) -> list[Verdict]:
    """One verdict per gate; a metric that was not measured fails its gate."""
    return [_judge(gate, metrics=metrics) for gate in gates]


def _judge(gate: Gate, *, metrics: Mapping[str, Metric]) -> Verdict:
    higher_is_better, _ = METRICS[gate.metric.removesuffix(SOURCE_SUFFIX)]
    measured = metrics.get(gate.metric)
    reference = gate.threshold if gate.threshold is not None else _reference(gate, metrics=metrics)
    if measured is None or reference is None:
        missing = gate.metric if measured is None else gate.metric + SOURCE_SUFFIX
        return Verdict(gate=gate, passed=False, message=f"{missing} was not measured, so its gate can't pass")
    allowed = gate.max_degradation or 0.0
    limit = reference - allowed if higher_is_better else reference + allowed
    # Differences of shares that are equal on paper must not fail for the last bit of a float.
    slack = 1e-9 * max(1.0, abs(limit))
    passed = measured.value >= limit - slack if higher_is_better else measured.value <= limit + slack
    relation = ("at least" if higher_is_better else "at most") + f" {limit:.6g}"
    origin = "" if gate.threshold is not None else f" ({reference:.6g} of the source model, {allowed:g} allowed)"
    rows = "" if measured.rows is None else f" on {measured.rows} rows"
    return Verdict(
        gate=gate,
        passed=passed,
        message=f"{gate.metric} is {measured.value:.6g}{rows}; the gate asks for {relation}{origin}",
    )


def _reference(gate: Gate, *, metrics: Mapping[str, Metric]) -> float | None:
    source = metrics.get(gate.metric + SOURCE_SUFFIX)
    return None if source is None else source.value
