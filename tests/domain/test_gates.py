"""Offline gates and the contract: what stops a model before it gets traffic, and in which words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.domain import codec, measured, naming
from modelrelease.domain.contract import contract_change
from modelrelease.domain.gates import failed_gate, judge
from modelrelease.domain.observed import BuildResult, Contract, Metric, Tensor
from modelrelease.domain.spec import Against, Gate, OnInconclusive
from modelrelease.domain.status import Artifact, VerdictValue

PASS, FAIL, INCONCLUSIVE = VerdictValue.PASS, VerdictValue.FAIL, VerdictValue.INCONCLUSIVE
ORDER = [FAIL, INCONCLUSIVE, PASS]


def built(metrics: Mapping[str, Metric], *, digest: str = "a", compared: str | None = None) -> BuildResult:
    artifact = Artifact(uri=f"s3://b/{digest}", digest=f"sha256:{digest * 64}")
    named = f"sha256:{compared * 64}" if compared else None
    return BuildResult(artifact=artifact, contract=OLD, metrics=metrics, compared=named)


def verdict(gate: Gate, result: BuildResult, stable: BuildResult | None = None) -> VerdictValue:
    (judged,) = judge(gates=(gate,), result=result, stable=stable)
    return judged.verdict


IMAGE = Tensor(name="image", datatype="FP32", shape=(64,))
OLD = Contract(inputs=(IMAGE,), outputs=(Tensor(name="scores", datatype="FP32", shape=(10,)),))
# What a builder of before there were bounds reports.
PLAIN = built(
    {
        "accuracy": Metric(value=0.94, rows=270),
        "accuracy.source": Metric(value=0.97, rows=270),
        "sizeBytes": Metric(value=2000),
    }
)
PLAIN_STABLE = built({"accuracy": Metric(value=0.95, rows=270)}, digest="b")

# 270 rows, 265 of them right; one is worse than the source's; of stable's, three are worse and two better.
ACCURACY = Metric(
    value=0.981481,
    rows=270,
    bounds=(0.961459, 0.992676, 0.957315, 0.993961),
    source=(-0.017525, 0.004, 0.9824, 1.0144, 0, 1),
    stable=(-0.026, 0.0195, 0.974, 1.02, 2, 3),
)
FULL = built(
    {
        "accuracy": ACCURACY,
        "accuracy.source": Metric(value=0.985185, rows=270, bounds=(0.966, 0.995)),
        "accuracy.stable": Metric(value=0.985185, rows=270, bounds=(0.966, 0.995)),
        "brier": Metric(value=0.05, rows=270, bounds=(0.03, 0.08, 0.02, 0.09), source=(-0.001, 0.002, 0.98, 1.04)),
        "brier.source": Metric(value=0.05, rows=270, bounds=(0.03, 0.08)),
        "rmse": Metric(value=1.02, rows=270, bounds=(None, None, None, None)),
        "rmse.source": Metric(value=1.0, rows=270, bounds=(None, None)),
        "worstClassRecall": Metric(value=0.8, rows=270, bounds=(0.6, 0.93, 0.58, 0.94)),
        "latencyP50Ms": Metric(value=0.9),
        "latencyP50Ms.source": Metric(value=1.0),
    },
    compared="b",
)
STABLE = built({"accuracy": Metric(value=0.985185, rows=270, bounds=(0.966, 0.995, 0.962, 0.996))}, digest="b")


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        (Gate(metric="accuracy", threshold=0.9), None),
        (
            Gate(metric="accuracy", threshold=0.95),
            "accuracy: 0.94 on 270 rows, required at least 0.95 (by the",
        ),
        (Gate(metric="sizeBytes", threshold=3000), None),
        (Gate(metric="sizeBytes", threshold=1000), "sizeBytes: 2000, required at most 1000"),
        (Gate(metric="accuracy", max_degradation=0.03), None),
        (Gate(metric="accuracy", max_degradation=0.02), "against 0.97 of Source, worse by 0.03, allowed 0.02"),
        (Gate(metric="accuracy", max_degradation=0.01, against=Against.STABLE), None),
        (Gate(metric="accuracy", max_degradation=0.005, against=Against.STABLE), "against 0.95 of Stable"),
        (Gate(metric="accuracy", percent_max_degradation=2), "worse by 0.03, allowed 2 %"),
        (Gate(metric="accuracy", min_improvement=0.0), "worse by 0.03, required 0"),
        (Gate(metric="f1", threshold=0.5), "the build reported no such metric"),
        (Gate(metric="sizeBytes", max_degradation=1), "there is no sizeBytes of Source"),
    ],
)
def test_without_bounds_the_estimate_decides(gate: Gate, told: str | None) -> None:
    reason = failed_gate(gates=(gate,), result=PLAIN, stable=PLAIN_STABLE)
    assert (reason is None) if told is None else (reason is not None and told in reason)


@pytest.mark.parametrize(
    ("gate", "expected", "told"),
    [
        (Gate(metric="accuracy", threshold=0.96), PASS, "at least 0.9615, at most 0.9927"),
        (Gate(metric="accuracy", threshold=0.97), INCONCLUSIVE, "270 rows do not prove it: take more test rows"),
        (Gate(metric="accuracy", threshold=0.985), INCONCLUSIVE, "270 rows do not prove or refute it"),
        (Gate(metric="accuracy", threshold=0.995), FAIL, "that is refuted"),
        (Gate(metric="accuracy", max_degradation=0.018), PASS, "worse by 0.003704 (95 % sure: by at most 0.01752)"),
        (Gate(metric="accuracy", max_degradation=0.017), INCONCLUSIVE, "onInconclusive: Allow"),
        (Gate(metric="accuracy", percent_max_degradation=1.8), PASS, "allowed 1.8 %"),
        (Gate(metric="accuracy", percent_max_degradation=1.7), INCONCLUSIVE, ""),
        (Gate(metric="accuracy", percent_min_improvement=0), INCONCLUSIVE, "required 0 %"),
        (Gate(metric="accuracy", min_improvement=0.003), INCONCLUSIVE, "required 0.003"),
        (Gate(metric="accuracy", min_improvement=0.005), FAIL, "refuted"),
        (Gate(metric="accuracy", percent_min_improvement=2), FAIL, "required 2 %"),
        (Gate(metric="accuracy", max_degradation=0.027, against=Against.STABLE), PASS, ""),
        (Gate(metric="accuracy", max_degradation=0.025, against=Against.STABLE), INCONCLUSIVE, "of Stable"),
        (Gate(metric="brier", threshold=0.08), PASS, "required at most 0.08"),
        (Gate(metric="brier", threshold=0.029), FAIL, ""),
        (Gate(metric="brier", max_degradation=0.002), PASS, "by at most 0.002"),
        (Gate(metric="brier", percent_max_degradation=3), INCONCLUSIVE, ""),
        (Gate(metric="brier", percent_max_degradation=4), PASS, ""),
        (Gate(metric="rmse", percent_max_degradation=5), INCONCLUSIVE, ""),
        (Gate(metric="rmse", percent_max_degradation=1), FAIL, "worse by 0.02, allowed 1 %"),
        (Gate(metric="rmse", threshold=2), INCONCLUSIVE, ""),
        (Gate(metric="worstClassRecall", threshold=0.9), PASS, ""),
        (Gate(metric="worstClassRecall", threshold=0.95), FAIL, "refuted"),
        (Gate(metric="latencyP50Ms", percent_min_improvement=10), PASS, "better by 0.1"),
        (Gate(metric="latencyP50Ms", percent_min_improvement=11), FAIL, "required 11 %"),
    ],
)
def test_bounds_prove_or_refute(gate: Gate, expected: VerdictValue, told: str) -> None:
    (judged,) = judge(gates=(gate,), result=FULL, stable=STABLE)
    assert judged.verdict is expected, judged.message
    assert told in judged.message
    allowed = replace(gate, on_inconclusive=OnInconclusive.ALLOW)
    blocking = [failed_gate(gates=(each,), result=FULL, stable=STABLE) is not None for each in (gate, allowed)]
    assert blocking == [expected is not PASS, expected is FAIL]


def test_on_a_first_release_a_gate_against_stable_has_nothing_to_compare_with() -> None:
    gate = Gate(metric="accuracy", max_degradation=0.0, against=Against.STABLE)
    assert failed_gate(gates=(gate,), result=FULL, stable=None) is None


def test_the_first_gate_that_does_not_hold_is_named() -> None:
    gates = (Gate(metric="accuracy", threshold=0.1), Gate(metric="accuracy", threshold=0.99))
    reason = failed_gate(gates=gates, result=PLAIN, stable=None)
    assert reason is not None and "0.99" in reason


def test_a_pair_counts_only_against_the_artifact_that_it_was_measured_with() -> None:
    margin = Gate(metric="accuracy", max_degradation=0.027, against=Against.STABLE)
    wide = replace(margin, max_degradation=0.04)
    assert verdict(margin, FULL, STABLE) is PASS
    other = replace(STABLE, artifact=replace(STABLE.artifact, digest="sha256:" + "c" * 64))
    assert verdict(margin, FULL, other) is INCONCLUSIVE
    assert verdict(wide, FULL, other) is PASS  # 0.957315 - 0.996, each at half of alpha
    assert verdict(replace(margin, max_degradation=0.038), FULL, other) is INCONCLUSIVE


def test_the_artifact_that_serves_already_is_as_good_as_itself() -> None:
    gate = Gate(metric="accuracy", max_degradation=0.0, against=Against.STABLE)
    assert verdict(gate, FULL, FULL) is PASS
    assert verdict(replace(gate, max_degradation=None, percent_max_degradation=0.0), FULL, FULL) is PASS
    assert verdict(replace(gate, max_degradation=None, min_improvement=0.001), FULL, FULL) is FAIL


def test_a_revert_is_judged_by_the_pair_that_stable_was_measured_in() -> None:
    """FULL serves and was measured against STABLE, which is wanted again: 3 rows better, 2 worse."""
    gate = Gate(metric="accuracy", max_degradation=0.02, against=Against.STABLE)
    assert verdict(gate, STABLE, FULL) is PASS
    assert verdict(replace(gate, max_degradation=0.019), STABLE, FULL) is INCONCLUSIVE
    percent = replace(gate, max_degradation=None, percent_max_degradation=2.0)  # 1 / 1.02
    assert verdict(percent, STABLE, FULL) is PASS
    assert verdict(replace(percent, percent_max_degradation=1.9), STABLE, FULL) is INCONCLUSIVE


bounds = st.floats(0, 1).map(lambda x: round(x, 4))


@given(numbers=st.lists(bounds, min_size=3, max_size=3), limits=st.lists(bounds, min_size=2, max_size=2))
def test_who_asks_for_less_never_gets_a_worse_verdict(numbers: list[float], limits: list[float]) -> None:
    low, value, high = sorted(numbers)
    change = (low - 0.5, high - 0.5, low / 0.5, high / 0.5)  # if the source were known to be 0.5
    metrics = {
        "accuracy": Metric(value=value, rows=9, bounds=(low, high, low, high), source=change),
        "accuracy.source": Metric(value=0.5, rows=9, bounds=(0.4, 0.6)),
    }
    less, more = sorted(limits)
    for wanted in (
        lambda limit: Gate(metric="accuracy", threshold=limit),
        lambda limit: Gate(metric="accuracy", min_improvement=limit),
        lambda limit: Gate(metric="accuracy", max_degradation=1 - limit),
        lambda limit: Gate(metric="accuracy", percent_max_degradation=100 - 100 * limit),
    ):
        easy, hard = (ORDER.index(verdict(wanted(limit), built(metrics))) for limit in (less, more))
        assert easy >= hard


def test_a_rejection_of_before_there_was_on_inconclusive_stays_one() -> None:
    gate = Gate(metric="accuracy", threshold=0.9)
    was = naming.digest([{"metric": "accuracy", "threshold": 0.9, "against": "Source"}])
    assert naming.gates_hash((gate,)) == was
    assert naming.gates_hash((replace(gate, on_inconclusive=OnInconclusive.ALLOW),)) != was


def test_evidence_is_read_as_it_was_written() -> None:
    written = codec.encode(FULL.metrics)
    assert measured.metrics(written, "metrics") == FULL.metrics
    assert measured.metrics({"a": {"value": 1}}, "metrics") == {"a": Metric(value=1.0)}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (None, "metrics: is required and must be an object"),
        ({"a": {"value": 1, "bounds": [0.5]}}, r"metrics\.a\.bounds: has 1 numbers, allowed are 2, 4"),
        ({"a": {"value": 1, "stable": [0, 1, "x", None]}}, r"metrics\.a\.stable\[2\]: expected float"),
    ],
)
def test_evidence_of_another_shape_is_refused(raw: object, told: str) -> None:
    with pytest.raises(codec.Malformed, match=told):
        measured.metrics(raw, "metrics")


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
