"""Offline gates and the contract: what stops a model before it gets traffic, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from modelrelease.domain.contract import contract_change
from modelrelease.domain.gates import failed_gate
from modelrelease.domain.observed import Contract, Metric, Tensor
from modelrelease.domain.spec import Against, Gate

METRICS = {
    "accuracy": Metric(value=0.94, rows=270),
    "accuracy.source": Metric(value=0.97, rows=270),
    "sizeBytes": Metric(value=2000),
}
STABLE = {"accuracy": Metric(value=0.95, rows=270)}


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        (Gate(metric="accuracy", threshold=0.9), None),
        (Gate(metric="accuracy", threshold=0.95), "accuracy: 0.94 on 270 rows, required at least 0.95"),
        (Gate(metric="sizeBytes", threshold=3000), None),
        (Gate(metric="sizeBytes", threshold=1000), "sizeBytes: 2000, required at most 1000"),
        (Gate(metric="accuracy", max_degradation=0.03), None),
        (Gate(metric="accuracy", max_degradation=0.02), "against 0.97 of Source, worse by 0.03, allowed 0.02"),
        (Gate(metric="accuracy", max_degradation=0.01, against=Against.STABLE), None),
        (Gate(metric="accuracy", max_degradation=0.005, against=Against.STABLE), "against 0.95 of Stable"),
        (Gate(metric="f1", threshold=0.5), "the build reported no such metric"),
        (Gate(metric="sizeBytes", max_degradation=1), "there is no sizeBytes of Source"),
    ],
)
def test_a_gate_holds_or_says_why_not(gate: Gate, told: str | None) -> None:
    reason = failed_gate(gates=(gate,), metrics=METRICS, stable=STABLE)
    assert (reason is None) if told is None else (reason is not None and told in reason)


def test_on_a_first_release_a_gate_against_stable_has_nothing_to_compare_with() -> None:
    gate = Gate(metric="accuracy", max_degradation=0.0, against=Against.STABLE)
    assert failed_gate(gates=(gate,), metrics=METRICS, stable=None) is None


def test_the_first_gate_that_does_not_hold_is_named() -> None:
    gates = (Gate(metric="accuracy", threshold=0.1), Gate(metric="accuracy", threshold=0.99))
    reason = failed_gate(gates=gates, metrics=METRICS, stable=None)
    assert reason is not None and "0.99" in reason


IMAGE = Tensor(name="image", datatype="FP32", shape=(64,))
OLD = Contract(inputs=(IMAGE,), outputs=(Tensor(name="scores", datatype="FP32", shape=(10,)),))


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (OLD, None),
        (replace(OLD, outputs=(*OLD.outputs, Tensor(name="label", datatype="INT64"))), None),
        (replace(OLD, inputs=(replace(IMAGE, name="pixels"),)), "input image of the stable version is gone"),
        (replace(OLD, inputs=(IMAGE, Tensor(name="mask", datatype="BOOL"))), "input mask is new"),
        (replace(OLD, inputs=(replace(IMAGE, datatype="UINT8"),)), "input image was FP32[64] and is UINT8[64]"),
        (replace(OLD, inputs=(replace(IMAGE, shape=(8, 8)),)), "input image was FP32[64] and is FP32[8,8]"),
        (replace(OLD, outputs=()), "output scores of the stable version is gone"),
        (replace(OLD, batchable=False), "takes no batches"),
    ],
)
def test_a_change_that_a_client_notices_is_told(new: Contract, told: str | None) -> None:
    change = contract_change(OLD, new)
    assert (change is None) if told is None else (change is not None and told in change)
