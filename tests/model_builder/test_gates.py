import numpy
import pytest

from model_builder import evidence
from model_builder.errors import BadSpec
from model_builder.gates import DEFAULTS, Gate, Outcome, check, judge, smallest_provable_margin, unprovable
from model_builder.metrics import METRICS, Metric, Role, base_name, kind_of


def answers(rows: int, *wrong: int) -> evidence.Rows:
    right = numpy.ones(rows, dtype=bool)
    right[list(wrong)] = False
    return evidence.share(right)


def accuracies(*, rows: int = 270, own: tuple[int, ...] = (), source: tuple[int, ...] = ()) -> dict[str, Metric]:
    """Metrics of two models, each with the rows that it gets wrong."""
    return {
        "accuracy": evidence.metric(answers(rows, *own)),
        "accuracy.source": evidence.metric(answers(rows, *source)),
    }


def outcome(gate: Gate, metrics: dict[str, Metric]) -> Outcome:
    (verdict,) = judge([gate], metrics=metrics)
    return verdict.outcome


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [(0, Outcome.PASS), (5, Outcome.PASS), (9, Outcome.INCONCLUSIVE), (14, Outcome.INCONCLUSIVE), (40, Outcome.FAIL)],
)
def test_a_headline_gate_passes_only_what_is_proven_and_fails_only_what_is_refuted(
    wrong: int, expected: Outcome
) -> None:
    """Of 270 answers 0, 5, 9, 14, 40 wrong: at least 98.9, 96.1, 94.3, 92.0 % and at most 88.6 % right, 95 % sure."""
    assert outcome(Gate(metric="accuracy", threshold=0.95), accuracies(own=tuple(range(wrong)))) is expected


@pytest.mark.parametrize(
    ("gate", "own", "source", "expected"),
    [
        (Gate(metric="accuracy", max_degradation=0.02), (), (), Outcome.PASS),
        (Gate(metric="accuracy", max_degradation=0.011), (), (), Outcome.INCONCLUSIVE),
        (Gate(metric="accuracy", max_degradation=0.02), (1,), (), Outcome.PASS),
        (Gate(metric="accuracy", max_degradation=0.02), (1, 2), (), Outcome.INCONCLUSIVE),
        # As many wrong answers as the reference, but others: less is known than of the same ones.
        (Gate(metric="accuracy", max_degradation=0.015), (1, 2, 3), (4, 5, 6), Outcome.INCONCLUSIVE),
        (Gate(metric="accuracy", max_degradation=0.015), (1, 2, 3), (1, 2, 3), Outcome.PASS),
        (Gate(metric="accuracy", max_degradation=0.02), tuple(range(20)), (), Outcome.FAIL),
        (Gate(metric="accuracy", percent_max_degradation=5), (1,), (), Outcome.PASS),
        (Gate(metric="accuracy", percent_max_degradation=1), (1,), (), Outcome.INCONCLUSIVE),
        (Gate(metric="accuracy", percent_max_degradation=2), tuple(range(30)), (), Outcome.FAIL),
        (Gate(metric="accuracy", min_improvement=0.02), (), tuple(range(20)), Outcome.PASS),
        (Gate(metric="accuracy", min_improvement=0.07), (), tuple(range(20)), Outcome.INCONCLUSIVE),
        (Gate(metric="accuracy", min_improvement=0.01), tuple(range(20)), (), Outcome.FAIL),
        (Gate(metric="accuracy", percent_min_improvement=2), (), tuple(range(30)), Outcome.PASS),
        (Gate(metric="accuracy", percent_min_improvement=2), tuple(range(30)), (), Outcome.FAIL),
    ],
)
def test_comparisons(gate: Gate, own: tuple[int, ...], source: tuple[int, ...], expected: Outcome) -> None:
    assert outcome(gate, accuracies(own=own, source=source)) is expected


def test_five_rows_pass_nothing() -> None:
    metrics = accuracies(rows=5)
    assert outcome(Gate(metric="accuracy", threshold=0.6), metrics) is Outcome.INCONCLUSIVE
    assert outcome(Gate(metric="accuracy", max_degradation=0.4), metrics) is Outcome.INCONCLUSIVE


def test_the_same_answers_of_the_same_file_leave_nothing_to_chance() -> None:
    same = evidence.metric(answers(270, 1, 2))
    metrics = {"accuracy": same, "accuracy.source": same}
    assert outcome(Gate(metric="accuracy", max_degradation=0.0), metrics) is Outcome.PASS
    assert outcome(Gate(metric="accuracy", min_improvement=0.001), metrics) is Outcome.FAIL
    assert outcome(Gate(metric="accuracy", percent_max_degradation=1), metrics) is Outcome.PASS


@pytest.mark.parametrize(("wrong", "expected"), [(0, Outcome.PASS), (3, Outcome.PASS), (15, Outcome.FAIL)])
def test_a_tripwire_fails_only_on_proven_harm(wrong: int, expected: Outcome) -> None:
    metrics = {"recall:3": evidence.metric(answers(27, *range(wrong)))}
    (verdict,) = judge([Gate(metric="recall:3", threshold=0.95)], metrics=metrics)
    assert verdict.outcome is expected
    assert verdict.blocks is (expected is Outcome.FAIL)
    assert ("do not prove" in verdict.message) is (wrong == 3)


@pytest.mark.parametrize(("value", "expected"), [(0.001, Outcome.PASS), (0.03, Outcome.INCONCLUSIVE)])
def test_a_mean_that_should_be_low_is_compared_row_by_row(value: float, expected: Outcome) -> None:
    before = numpy.full(300, 0.02)
    metrics = {
        "brier": evidence.metric(evidence.mean(before + value, low=0.0, high=2.0)),
        "brier.source": evidence.metric(evidence.mean(before, low=0.0, high=2.0)),
    }
    assert outcome(Gate(metric="brier", max_degradation=0.05), metrics) is expected
    assert outcome(Gate(metric="brier", threshold=0.1), metrics) is Outcome.PASS


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (Gate(metric="sizeBytes", threshold=200), Outcome.PASS),
        (Gate(metric="sizeBytes", threshold=199), Outcome.FAIL),
        (Gate(metric="sizeBytes", max_degradation=0), Outcome.PASS),
        (Gate(metric="sizeBytes", percent_min_improvement=66), Outcome.PASS),
        (Gate(metric="sizeBytes", percent_min_improvement=67), Outcome.FAIL),
        (Gate(metric="sizeBytes.source", threshold=600), Outcome.PASS),
        (Gate(metric="latencyP50Ms", max_degradation=100), Outcome.FAIL),
        (Gate(metric="agreement", threshold=0.0), Outcome.FAIL),
    ],
)
def test_cost_is_judged_as_measured_and_what_was_not_measured_fails(gate: Gate, expected: Outcome) -> None:
    metrics = {"sizeBytes": Metric(200), "sizeBytes.source": Metric(600), "latencyP50Ms": Metric(2.0)}
    assert outcome(gate, metrics) is expected


def test_a_metric_without_an_exact_bound_is_never_proven() -> None:
    metrics = {"rmse": Metric(1.0, 50), "rmse.source": Metric(1.0, 50)}
    assert outcome(Gate(metric="rmse", threshold=2.0), metrics) is Outcome.INCONCLUSIVE
    assert outcome(Gate(metric="rmse", threshold=0.5), metrics) is Outcome.FAIL
    assert outcome(Gate(metric="rmse", percent_max_degradation=5), metrics) is Outcome.INCONCLUSIVE


def test_combined_evidence_is_compared_by_bounds_of_each() -> None:
    def macro(hits: int) -> Metric:
        return evidence.metric(evidence.Combined((evidence.ClassF1(hits, 2000),) * 2, evidence.average))

    metrics = {"macroF1": macro(1990), "macroF1.source": macro(1995)}
    assert outcome(Gate(metric="macroF1", max_degradation=0.02), metrics) is Outcome.PASS
    assert outcome(Gate(metric="macroF1", max_degradation=0.003), metrics) is Outcome.INCONCLUSIVE
    assert outcome(Gate(metric="macroF1", min_improvement=0.01), metrics) is Outcome.FAIL


def test_inconclusive_blocks_unless_it_is_allowed() -> None:
    metrics = accuracies(own=tuple(range(9)))
    blocked, allowed = judge(
        [
            Gate(metric="accuracy", threshold=0.95),
            Gate(metric="accuracy", threshold=0.95, on_inconclusive="Allow"),
        ],
        metrics=metrics,
    )
    assert blocked.outcome is allowed.outcome is Outcome.INCONCLUSIVE
    assert (blocked.blocks, allowed.blocks) == (True, False)
    assert allowed.to_json()["verdict"] == "Inconclusive"


def test_a_gate_against_stable_is_left_alone_where_no_stable_artifact_is_given() -> None:
    gate = Gate(metric="accuracy", max_degradation=0.02, against="Stable")
    (verdict,) = judge([gate], metrics=accuracies())
    assert (verdict.outcome, verdict.blocks) == (Outcome.INCONCLUSIVE, False)
    (missing,) = judge([gate], metrics={**accuracies(), "sizeBytes.stable": Metric(1)})
    assert missing.outcome is Outcome.FAIL
    with_stable = {**accuracies(), "accuracy.stable": evidence.metric(answers(270))}
    assert outcome(gate, with_stable) is Outcome.PASS


def test_a_verdict_names_value_bound_rows_limit_and_reference() -> None:
    (verdict,) = judge([Gate(metric="accuracy", max_degradation=0.01)], metrics=accuracies(own=(1,)))
    assert verdict.message == (
        "accuracy is 0.996296 on 270 rows (95 % sure: at least 0.982551, at most 0.999811); the gate asks for at least "
        "0.99 (1 of the source model, 0.01 worse allowed), and these rows do not prove it: take more test rows or a "
        "wider margin"
    )


def test_the_smallest_margin_that_a_test_split_can_prove() -> None:
    assert smallest_provable_margin(rows=270) == pytest.approx(0.011, abs=0.0001)
    assert smallest_provable_margin(rows=270, worse=1) == pytest.approx(0.0175, abs=0.0001)
    assert smallest_provable_margin(rows=1000) < smallest_provable_margin(rows=270)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (Gate(metric="accuracy", max_degradation=0.02), None),
        (Gate(metric="accuracy", max_degradation=0.01), "270 test rows can prove no less than 0.0111"),
        (Gate(metric="accuracy", percent_max_degradation=0.5), "270 test rows can prove no less than 0.0111"),
        (Gate(metric="agreement", threshold=0.98), None),
        (Gate(metric="accuracy", threshold=0.99), "270 test rows can prove at most 0.9889"),
        (Gate(metric="accuracy", min_improvement=0.01), None),
        (Gate(metric="sizeBytes", threshold=1), None),
    ],
)
def test_lint_says_what_no_model_could_prove(gate: Gate, said: str | None) -> None:
    told = unprovable(gate, rows=270)
    assert told is None if said is None else told is not None and said in told


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (Gate(metric="acuracy", threshold=1), "did you mean 'accuracy'"),
        (Gate(metric="accuracy"), "exactly one of .* and has none"),
        (Gate(metric="accuracy", threshold=1, min_improvement=0), "has 'threshold' and 'minImprovement'"),
        (Gate(metric="accuracy.source", max_degradation=0), "without the suffix"),
    ],
)
def test_a_gate_that_means_nothing_is_refused(gate: Gate, said: str) -> None:
    with pytest.raises(BadSpec, match=said):
        check(gate, where="spec.gates[0]")


@pytest.mark.parametrize("gate", [gate for gates in DEFAULTS.values() for gate in gates], ids=lambda g: g.metric)
def test_the_default_gates_can_pass_on_270_rows(gate: Gate) -> None:
    check(gate, where="default")
    assert unprovable(gate, rows=270) is None


def test_names_of_metrics() -> None:
    assert base_name("recall:.source.stable") == "recall"
    kind = kind_of("pgdAccuracy:0.1")
    assert kind is not None and kind.role is Role.TRIPWIRE and kind.higher_is_better
    assert kind_of("nonsense") is None
    assert METRICS["accuracy"].role is Role.HEADLINE


def test_the_documentation_names_every_metric_and_every_audit() -> None:
    from pathlib import Path

    from model_builder import audit

    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert [name for name in (*METRICS, *audit.REGISTRY) if f"`{name}" not in text] == []
