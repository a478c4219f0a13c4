"""Shapley values of what is served: by hand, with a planted case that the gate must fail, and a clean one."""

import sys
from pathlib import Path

import numpy
import pytest

from model_builder import audit
from model_builder.audit.shap import Parameters, values
from model_builder.decode import decode
from model_builder.errors import BadSpec
from model_builder.spec import Spec, resolve
from tests.model_builder.conftest import run_build, spec
from tests.model_builder.test_audit import Array, answers, dataset, failed, honest, people, run, subject

FEW = Parameters(rows=4, background=4, orders=2)


def linear(rows: Array) -> Array:
    """Answers whose chance of a yes rises evenly with the first two of three features."""
    yes = 0.5 + 0.02 * rows[:, 0] + 0.01 * rows[:, 1]
    return numpy.stack([1 - yes, yes], axis=1)


def crowded(rows: Array) -> Array:
    """Answers by whether a row is above the mean of its batch."""
    return answers(rows[:, 0] > rows[:, 0].mean())


@pytest.mark.deep
def test_shapley_values_of_a_linear_model_are_those_of_its_weights() -> None:
    data = people()
    rows, background = data.test.rows[:3], data.train.rows[:5]
    found = values(subject(linear, data), rows, numpy.array([1, 1, 0]), background=background, orders=1, seed=0)
    wanted = (rows - background.mean(axis=0)) * numpy.array([0.02, 0.01, 0.0])
    wanted[2] *= -1
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.deep
def test_answers_that_hang_on_the_rest_of_the_batch_are_found() -> None:
    assert failed("shap", run("shap", subject(crowded, people()), FEW)) == {"shapCompletenessError"}


@pytest.mark.deep
def test_an_honest_model_is_explained() -> None:
    result = run("shap", subject(honest, people()), FEW)
    assert failed("shap", result) == set()
    assert result.metrics["shapCompletenessError"].value < 1e-6
    strength = {entry["column"]: entry["strength"] for entry in result.tables["mean"]}
    assert strength["income"] > strength["age"] > strength["sex"] == 0
    assert run("shap", subject(honest, people()), FEW).metrics == result.metrics


def chequered(rows: Array) -> Array:
    """Answers by the product of the signs of all features: none means anything without the others."""
    return answers(numpy.sign(rows).prod(axis=1) > 0)


@pytest.mark.deep
def test_too_few_orders_show_in_the_stability() -> None:
    random = numpy.random.default_rng(0)
    data = dataset(random.normal(size=(60, 12)).astype("float32"), random.integers(0, 2, 60), train=40)
    one = Parameters(rows=2, background=1, orders=1)
    assert run("shap", subject(chequered, data), one).metrics["shapStability"].value < 0.5
    assert run("shap", subject(honest, data), one).metrics["shapStability"].value > 0.9


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [(numpy.ones((20, 3), dtype="int64"), "rows of whole numbers"), (numpy.ones((20, 1025), "float32"), "1024 values")],
    ids=["tokens", "large"],
)
def test_what_can_not_be_explained_is_said(rows: Array, sentence: str) -> None:
    result = run("shap", subject(honest, dataset(rows, numpy.zeros(20, dtype="int64"), train=10)))
    assert result.metrics == {}
    assert sentence in result.messages[0]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(BadSpec, match="install the extra 'shap'"):
        run("shap", subject(honest, people()), FEW)


def test_nothing_is_imported_for_a_spec_that_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    assert "shap" in audit.REGISTRY
    assert resolve(decode(Spec, spec(audit=[{"audit": "shap"}]), where="spec")).audits


@pytest.mark.deep
def test_a_build_can_ask_for_it(tmp_path: Path) -> None:
    step = {"audit": "shap", "parameters": {"rows": 2, "background": 2, "orders": 1}}
    metrics = run_build(spec(audit=[step], gates=[]), out=tmp_path / "out")["metrics"]
    assert metrics["shapCompletenessError"]["value"] < 0.01
