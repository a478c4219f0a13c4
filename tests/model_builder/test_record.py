"""What a build tells an operator of its metrics, and that the operator's verdicts on it are the builder's own."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelrelease.domain import gates as operator
from modelrelease.domain import measured, metric_kinds
from modelrelease.domain.observed import BuildResult, Contract
from modelrelease.domain.spec import Against, Gate, OnInconclusive
from modelrelease.domain.status import Artifact

from model_builder import compared, evidence, gates, record, result
from model_builder.evidence import ClassF1, Combined, Evidence, Quantile, average
from model_builder.metrics import METRICS, Metric

DIGEST, STABLE = "sha256:" + "a" * 64, "sha256:" + "b" * 64
#: How finely the paired bound of a difference is looked for: the test itself may say a little more.
RESOLUTION = 2e-3
KINDS = {
    "threshold": "threshold",
    "maxDegradation": "max_degradation",
    "percentMaxDegradation": "percent_max_degradation",
    "minImprovement": "min_improvement",
    "percentMinImprovement": "percent_min_improvement",
}


def described(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {
        "metrics": {name: metric.to_json() for name, metric in metrics.items()},
        "evidence": compared.evidence_of(metrics),
    }


def stored(metrics: Mapping[str, Metric], *, digest: str = DIGEST, stable: str | None = STABLE) -> BuildResult:
    """The build as the operator reads it from the termination message."""
    answer = json.loads(result.encode(record.recorded({"digest": digest, "uri": "x"}, described=described(metrics))))
    return BuildResult(
        artifact=Artifact(uri=answer["uri"], digest=answer["digest"]),
        contract=Contract(inputs=(), outputs=()),
        metrics=measured.metrics(answer["metrics"], "metrics"),
        compared=stable,
    )


def told(own: Evidence, source: Evidence, stable: Evidence, *, name: str) -> dict[str, Metric]:
    found = {"": own, ".source": source, ".stable": stable}
    return {name + suffix: evidence.metric(each) for suffix, each in found.items()}


def right(seed: int, *, rows: int = 60, chance: float = 0.9) -> Evidence:
    return evidence.share(numpy.random.default_rng(seed).random(rows) < chance)


def spread(seed: int, *, rows: int = 60, mean: float = 0.2) -> Evidence:
    values = numpy.random.default_rng(seed).beta(2, 2 / mean, rows)
    return evidence.mean(numpy.round(values, 3), low=0.0, high=2.0)


def f1(seed: int) -> Evidence:
    hits = numpy.random.default_rng(seed).integers(50, 100, 3)
    return Combined(tuple(ClassF1(hits=int(h), involved=110) for h in hits), average)


def error(seed: int) -> Evidence:
    return Quantile(numpy.random.default_rng(seed).exponential(1.0, 80), 0.9)


SAME, SAME_BRIER = right(1), spread(1)
CASES = {
    "shares": told(right(1), right(2), right(3, chance=0.7), name="accuracy"),
    "few rows": told(right(1, rows=9), right(2, rows=9), right(3, rows=9), name="accuracy"),
    "one model": told(SAME, SAME, right(3), name="accuracy"),
    "means": told(spread(1), spread(2), spread(3, mean=0.4), name="brier"),
    "one mean": told(SAME_BRIER, SAME_BRIER, spread(2), name="brier"),
    "of classes": told(f1(1), f1(2), f1(3), name="macroF1"),
    "quantiles": told(error(1), error(2), error(3), name="absoluteErrorP90"),
    "a part": told(right(1), right(2), right(3, chance=0.5), name="worstClassRecall"),
    "no bound": {f"rmse{s}": Metric(v, 60) for s, v in (("", 1.0), (".source", 1.02), (".stable", 0.9))},
    "cost": {f"sizeBytes{s}": Metric(v) for s, v in (("", 900.0), (".source", 1000.0), (".stable", 800.0))},
}
SERVING = BuildResult(artifact=Artifact(uri="y", digest=STABLE), contract=Contract(inputs=(), outputs=()), metrics={})


@functools.cache
def case_result(case: str) -> BuildResult:
    return stored(CASES[case])


def verdicts(case: str, *, kind: str, amount: float, against: str, allow: bool) -> tuple[str, bool, str, bool]:
    """(outcome, blocks) of the builder, then of the operator."""
    metric = next(iter(CASES[case]))
    inconclusive = "Allow" if allow else "Block"
    raw: Any = {KINDS[kind]: amount}
    ours = gates.Gate(metric=metric, against=against, on_inconclusive=inconclusive, **raw)  # type: ignore[arg-type]
    theirs = Gate(metric=metric, against=Against(against), on_inconclusive=OnInconclusive(inconclusive), **raw)
    (own,) = gates.judge([ours], metrics=CASES[case])
    (other,) = operator.judge(gates=(theirs,), result=case_result(case), stable=SERVING)
    return own.outcome.value, own.blocks, other.verdict.value, other.blocks


@pytest.mark.deep
@settings(max_examples=150)
@given(
    case=st.sampled_from(sorted(CASES)),
    kind=st.sampled_from(sorted(KINDS)),
    share=st.floats(0, 1),
    against=st.sampled_from(["Source", "Stable"]),
    allow=st.booleans(),
)
def test_operator_and_builder_give_one_verdict(case: str, kind: str, share: float, against: str, allow: bool) -> None:
    values = [metric.value for metric in CASES[case].values()]
    amount = {
        "threshold": 1.6 * share * max(values),
        "maxDegradation": 0.6 * share * max(values),
        "minImprovement": 0.4 * share * max(values),
    }.get(kind, 60 * share)
    outcome, blocks, other, other_blocks = verdicts(case, kind=kind, amount=amount, against=against, allow=allow)
    if outcome == other:
        assert blocks == other_blocks
        return
    # The operator never knows more, and what it does not know is no more than the rounding of a bound.
    assert other == "Inconclusive"
    step = RESOLUTION * (100 if kind.startswith("percent") else 1)
    near = [
        verdicts(case, kind=kind, amount=max(0.0, amount + sign * step), against=against, allow=allow)[2]
        for sign in (-1, 1)
    ]
    assert outcome in near


@pytest.mark.parametrize("name", sorted(METRICS))
def test_both_mean_the_same_by_a_metric(name: str) -> None:
    for written in (name, f"{name}:3", f"{name}.source", f"{name}:3.stable"):
        assert metric_kinds.role(written).value == METRICS[name].role.value
        assert metric_kinds.lower_is_better(written) is not METRICS[name].higher_is_better


@pytest.mark.deep
def test_different_rows_are_compared_by_both_sides_own_bounds() -> None:
    """Each side at half of alpha: what is proven holds also if stable was measured on other rows."""
    wide, near = (Gate(metric="accuracy", max_degradation=m, against=Against.STABLE) for m in (0.25, 0.05))
    before = stored(told(right(7, rows=200), right(8, rows=200), right(9, rows=200), name="accuracy"), digest=STABLE)
    alone = stored(CASES["shares"], stable=None)
    assert [v.verdict.value for v in operator.judge(gates=(wide, near), result=alone, stable=before)] == [
        "Pass",
        "Inconclusive",
    ]


def test_paired_counts_are_told() -> None:
    now, before = numpy.array([1, 1, 0, 1, 1], dtype=bool), numpy.array([1, 0, 1, 0, 1], dtype=bool)
    metrics = {"accuracy": evidence.share(now), "accuracy.source": evidence.share(before)}
    found = compared.evidence_of({name: evidence.metric(each) for name, each in metrics.items()})
    assert found["accuracy"]["source"][4:] == [2, 1]
    assert "stable" not in found["accuracy"]


def test_an_operator_of_before_reads_value_and_rows_of_each_metric() -> None:
    answer = record.recorded({}, described=described(CASES["shares"]))
    assert {name: (m["value"], m["rows"]) for name, m in answer["metrics"].items()} == {
        name: (metric.value, 60) for name, metric in CASES["shares"].items()
    }


#: Everything that a build of images with all audits, a source and a stable artifact can report, with long numbers.
WORST = {
    name + suffix: Metric(0.123456, 100_000, lower=-0.123456, upper=0.123457)
    for name in (*METRICS, *(f"groupAccuracy:country of birth={i}" for i in range(30)))
    for suffix in ("", ".source", ".stable")
}
LONG = [-0.123456, 0.123457, 0.981234, 1.012345]
WORST_EVIDENCE = {
    name: {"half": LONG[:2], "source": [*LONG, 12345, 12345], "stable": [*LONG, 12345, 12345]} for name in METRICS
}


@pytest.mark.parametrize("uri", ["s3://b/x", "s3://bucket/" + "x" * 1100])
def test_the_longest_record_is_whole_and_has_what_gates_are_on(uri: str) -> None:
    rest = {"digest": DIGEST, "uri": uri, "stable": STABLE, "inputs": [], "outputs": [], "batchable": True}
    worst = {
        "metrics": {name: metric.to_json() for name, metric in WORST.items()},
        "evidence": WORST_EVIDENCE,
    }
    answer = record.recorded(rest, described=worst)
    text = result.encode(answer)
    assert len(text.encode()) <= result.LIMIT
    assert json.loads(text) == answer
    assert answer["omittedMetrics"] == len(WORST) - len(answer["metrics"])
    assert answer["metrics"]["accuracy"]["stable"] == [*LONG, 12345, 12345]
    assert {"accuracy.source", "accuracy.stable"} <= set(answer["metrics"])


def test_a_usual_record_has_every_metric() -> None:
    """As many metrics as a build of the digits with a stable artifact reports."""
    names = ["accuracy", "macroRecall", "macroF1", "brier", "auroc", "worstClassRecall", "ece"]
    costs = [
        name for name, kind in METRICS.items() if (kind.role.value == "Measured" and "Bytes" in name) or "Ms" in name
    ]
    usual = {
        name + suffix: WORST[name].to_json() if name in names else {"value": 123456.7}
        for suffix in ("", ".source", ".stable")
        for name in (*names, *costs, "rowsPerSecond")
    }
    quality = {name: {**WORST_EVIDENCE[name]} for name in names if name != "ece"}
    rest = {"digest": DIGEST, "uri": "s3://model-artifacts/releases/" + "x" * 71, "stable": STABLE, "seconds": 123.45}
    answer = record.recorded(rest, described={"metrics": usual, "evidence": quality})
    assert "omittedMetrics" not in answer, answer["omittedMetrics"]
