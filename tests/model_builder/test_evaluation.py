"""Scores against scikit-learn as an oracle and against cases worked by hand."""

from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as oracle

from model_builder import evaluation
from model_builder.data.base import Split, Task
from model_builder.errors import BadData
from model_builder.evaluation import calibration, classification, regression, speed, tokens

NAMES = ("a", "b", "c", "d")


def graph(path: Path, *, weights: NDArray[Any], softmax: bool = True) -> Path:
    """A linear model: rows times weights, as probabilities where wanted."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [helper.make_node("MatMul", ["rows", "weights"], ["logits"])]
    nodes.append(helper.make_node("Softmax" if softmax else "Identity", ["logits"], ["answer"]))
    shapes = {"rows": weights.shape[0], "answer": weights.shape[1]}
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", size]) for n, size in shapes.items()]
    tensor = onnx.numpy_helper.from_array(weights.astype("float32"), "weights")
    model = helper.make_graph(nodes, "linear", values[:1], values[1:], [tensor])
    onnx.save(helper.make_model(model, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def sample(seed: int, *, rows: int = 60, classes: int = 4) -> tuple[NDArray[Any], NDArray[Any]]:
    random = numpy.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    logits = random.normal(size=(rows, classes)) + 1.5 * numpy.eye(classes)[labels]
    chances = numpy.exp(logits)
    return chances / chances.sum(axis=1, keepdims=True), labels


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 80))
def test_a_classifier_is_scored_as_scikit_learn_does(seed: int, rows: int) -> None:
    probabilities, labels = sample(seed, rows=rows)
    labels[:4] = range(4)
    predicted = probabilities.argmax(axis=1)
    scores = classification.score(probabilities=probabilities, labels=labels, classes=NAMES)
    found = {name: metric.value for name, metric in scores.metrics.items()}
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(labels, predicted), abs=1e-6)
    assert found["macroRecall"] == pytest.approx(oracle.balanced_accuracy_score(labels, predicted), abs=1e-6)
    assert found["macroF1"] == pytest.approx(oracle.f1_score(labels, predicted, average="macro"), abs=1e-6)
    area = oracle.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert found["auroc"] == pytest.approx(area, abs=1e-6)
    truth = numpy.eye(4)[labels]
    assert found["brier"] == pytest.approx(((probabilities - truth) ** 2).sum(axis=1).mean(), abs=1e-6)
    report = oracle.classification_report(labels, predicted, output_dict=True, zero_division=0, digits=9)
    for index, row in enumerate(scores.tables["perClass"]):
        expected = report[str(index)]
        assert row["support"] == expected["support"]
        for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert row[ours] == pytest.approx(expected[theirs], abs=1e-6)
    for average in ("macro", "weighted"):
        assert scores.tables["averages"][average]["f1"] == pytest.approx(report[f"{average} avg"]["f1-score"], abs=1e-6)
    assert scores.tables["averages"]["micro"]["f1"] == found["accuracy"]
    assert scores.tables["confusionMatrix"]["counts"] == oracle.confusion_matrix(labels, predicted).tolist()
    worst = min(row["recall"] for row in scores.tables["perClass"])
    assert found["worstClassRecall"] == pytest.approx(worst, abs=1e-6)
    for metric in (*scores.metrics.values(), *scores.parts.values()):
        assert metric.lower is None or metric.lower <= metric.value + 1e-6
        assert metric.upper is None or metric.upper >= metric.value - 1e-6


def test_a_class_that_does_not_occur_has_no_recall_and_no_area() -> None:
    probabilities = numpy.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
    scores = classification.score(probabilities=probabilities, labels=numpy.array([0, 1, 1]), classes=("x", "y", "z"))
    assert "recall:z" not in scores.parts
    assert scores.metrics["macroRecall"].value == 0.75
    assert scores.metrics["macroF1"].value == pytest.approx(2 / 3, abs=1e-6)
    only = classification.score(probabilities=probabilities[:1], labels=numpy.array([0]), classes=("x", "y", "z"))
    assert "auroc" not in only.metrics


def test_calibration_by_hand() -> None:
    confidence = numpy.array([0.95, 0.85, 0.9, 0.55, 1.0])
    right = numpy.array([True, False, True, True, True])
    table = calibration.reliability(confidence=confidence, right=right)
    assert [(row["low"], row["rows"], row["accuracy"]) for row in table] == [
        (0.5, 1, 1.0),
        (0.8, 2, 0.5),
        (0.9, 2, 1.0),
    ]
    expected = (1 * 0.45 + 2 * abs(0.875 - 0.5) + 2 * abs(0.975 - 1)) / 5
    assert calibration.expected_error(table) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-per I-per O B-loc", {(1, 3, "per"), (4, 5, "loc")}),
        ("B-per B-per I-per", {(0, 1, "per"), (1, 3, "per")}),
        ("I-per I-per O I-loc", {(0, 2, "per"), (3, 4, "loc")}),
        ("B-per I-loc I-loc", {(0, 1, "per"), (1, 3, "loc")}),
        ("O O", set()),
        ("", set()),
    ],
)
def test_entities_are_read_from_their_tags(tags: str, expected: set[tokens.Span]) -> None:
    assert tokens.spans(tags.split()) == expected


def test_tokens_and_entities_by_hand() -> None:
    names = ("O", "B-per", "I-per", "B-loc")
    labels = numpy.array([[1, 2, 0, 3], [0, 1, -100, -100]])
    answered = numpy.array([[1, 2, 0, 1], [0, 1, 1, 1]])
    scores = tokens.score(probabilities=numpy.eye(4)[answered], labels=labels, classes=names)
    assert scores.metrics["accuracy"].value == pytest.approx(5 / 6, abs=1e-6)
    # True: per, loc; per. Answered: per, per; per. Two of three are right on either side.
    assert scores.metrics["entityF1"].value == pytest.approx(2 / 3, abs=1e-6)
    assert scores.metrics["entityF1"].rows == 2
    by_kind = {row["class"]: (row["precision"], row["recall"], row["support"]) for row in scores.tables["perEntity"]}
    assert by_kind == {"loc": (0.0, 0.0, 1), "per": (0.666667, 1.0, 2)}
    plain = tokens.score(probabilities=numpy.eye(4)[answered], labels=labels, classes=("a", "b", "c", "d"))
    assert "entityF1" not in plain.metrics


def test_a_regression_is_scored_as_scikit_learn_does() -> None:
    random = numpy.random.default_rng(3)
    labels = random.normal(size=80).astype("float32")
    answers = labels + 0.3 * random.normal(size=80).astype("float32")
    scores = regression.score(answers=answers, labels=labels)
    found = {name: metric.value for name, metric in scores.metrics.items()}
    assert found["rmse"] == pytest.approx(oracle.root_mean_squared_error(labels, answers), abs=1e-5)
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(labels, answers), abs=1e-5)
    assert found["r2"] == pytest.approx(oracle.r2_score(labels, answers), abs=1e-5)
    assert scores.metrics["rmse"].lower is scores.metrics["rmse"].upper is None
    p90 = scores.metrics["absoluteErrorP90"]
    assert p90.lower is not None and p90.upper is not None and p90.lower <= p90.value <= p90.upper
    assert sum(scores.tables["errors"]["counts"]) == 80


def test_errors_of_a_known_limit_have_bounds() -> None:
    labels = numpy.linspace(0, 1, 200)
    within = regression.score(answers=labels + 0.01, labels=labels, largest_error=1.0).metrics["rmse"]
    assert within.lower is not None and within.upper is not None
    assert within.lower < 0.01 < within.upper < 0.2
    beyond = regression.score(answers=labels + 2, labels=labels, largest_error=1.0).metrics["rmse"]
    assert beyond.upper is None


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """A model that knows all four classes, and a final one that has lost the last."""
    lost = numpy.eye(4)
    lost[3, 3] = -1
    return {
        "": graph(tmp_path / "final.onnx", weights=5 * lost),
        ".source": graph(tmp_path / "source.onnx", weights=5 * numpy.eye(4)),
    }


def rows_of(labels: NDArray[Any]) -> NDArray[Any]:
    return numpy.eye(4, dtype="float32")[labels]


def evaluate(models: dict[str, Path], labels: NDArray[Any]) -> evaluation.Evaluation:
    test = Split(rows_of(labels), labels)
    return evaluation.evaluate(models=models, test=test, task=Task.CLASSIFICATION, classes=NAMES)


@pytest.mark.deep
def test_models_are_compared_on_the_same_rows(models: dict[str, Path]) -> None:
    labels = numpy.arange(80) % 4
    found = evaluate(models, labels)
    assert found.metrics["accuracy"].value == found.metrics["agreement"].value == 0.75
    assert found.metrics["accuracy.source"].value == 1.0
    assert found.metrics["classRecallDrop"].value == 1.0
    assert (found.metrics["classRecallDrop"].lower or 0) > 0.5
    assert found.judged["recall:d"].value == 0.0
    assert found.judged["recall:d.source"].value == 1.0
    costs = ("sizeBytes", "latencyP50Ms", "latencyP95Ms", "batchLatencyP50Ms", "rowsPerSecond", "coldLoadMs")
    assert all(found.metrics[name + suffix].value > 0 for name in costs for suffix in models)
    assert found.metrics["latencyP50Ms"].value <= found.metrics["latencyP95Ms"].value
    assert [row["model"] for row in found.tables["tradeOff"]] == ["final", "source"]
    table = evaluation.differences(found, against=".source")
    assert table["accuracy"]["difference"] == -0.25
    assert (table["accuracy"]["upper"] or 0) < -0.15
    assert table["sizeBytes"]["lower"] is None


@pytest.mark.deep
def test_what_labels_are_is_told_by_their_form(models: dict[str, Path]) -> None:
    labels = numpy.arange(12) % 3
    found = evaluation.measure(source=models[".source"], final=models[""], test=Split(rows_of(labels), labels))
    assert found["accuracy"].value == found["accuracy.source"].value == 1.0
    assert "brier" in found and "rmse" not in found


@pytest.mark.deep
def test_the_same_bytes_share_their_evidence(models: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(models[".source"].read_bytes())
    found = evaluate({"": copy, ".source": models[".source"]}, numpy.arange(8) % 4)
    assert found.metrics["accuracy"].evidence is found.metrics["accuracy.source"].evidence


@pytest.mark.deep
def test_a_model_of_other_classes_is_refused(tmp_path: Path) -> None:
    other = graph(tmp_path / "m.onnx", weights=numpy.ones((4, 3)))
    with pytest.raises(BadData, match=r"the final model answers 8 test rows with .*\(8, 3\).*needs \(8, 4\)"):
        evaluate({"": other}, numpy.arange(8) % 4)


@pytest.mark.deep
def test_a_model_that_answers_nan_is_refused(tmp_path: Path) -> None:
    broken = graph(tmp_path / "m.onnx", weights=numpy.full((4, 4), numpy.nan))
    with pytest.raises(BadData, match="NaN"):
        evaluate({"": broken}, numpy.arange(8) % 4)


@pytest.mark.deep
def test_a_regression_is_measured_and_compared(tmp_path: Path) -> None:
    model = graph(tmp_path / "m.onnx", weights=numpy.ones((2, 1)), softmax=False)
    rows = numpy.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    test = Split(rows, rows.sum(axis=1) + 0.5)
    found = evaluation.evaluate(models={"": model, ".source": model}, test=test, task=Task.REGRESSION, classes=())
    assert found.metrics["rmse"].value == pytest.approx(0.5, abs=1e-5)
    assert "agreement" not in found.metrics


def test_a_model_that_can_not_be_loaded_in_a_new_process_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(BadData, match="can't be loaded in a new process"):
        speed.cold(tmp_path / "m.onnx", numpy.zeros((1, 2), dtype="float32"))
