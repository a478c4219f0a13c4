"""`float16` and `fastest`, on graphs of known weights and on the digits."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from onnx import TensorProto

from model_builder import graph as graphs
from model_builder.choices import Choices
from model_builder.evaluation import speed
from model_builder.passes import fastest, float16
from model_builder.passes.base import Context
from tests.model_builder.conftest import run_build, spec
from tests.model_builder.test_pass_quantize import given, layered, sensitive

TRAIN_WELL = {"pass": "train", "parameters": {"epochs": 4, "learningRate": 0.004}}
__all__ = ["given"]


def halved(weights: list[numpy.ndarray], given: Context, folder: Path) -> tuple[Path, Path]:
    """The graph of these layers, and the cleaned result of the pass."""
    graph, cleaned = layered(folder / "x.onnx", weights), folder / "cleaned.onnx"
    graphs.clean(float16.apply(graph=graph, parameters=float16.Parameters(), context=given), to=cleaned)
    return graph, cleaned


def test_weights_are_halved_and_the_interface_is_kept(given: Context, tmp_path: Path) -> None:
    chance = numpy.random.default_rng(2)
    graph, result = halved([chance.random((4, 200)), chance.random((200, 3))], given, tmp_path)
    model, rows = onnx.load(result), given.data.test.rows
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT16}
    assert result.stat().st_size < 0.7 * graph.stat().st_size
    assert graphs.interface(result) == graphs.interface(graph)
    answers, wanted = (graphs.predict(graphs.open_session(path), rows) for path in (result, graph))
    assert numpy.abs(answers / wanted - 1).max() < 5e-3
    assert given.notes == []


def test_what_exceeds_the_range_of_half_precision_stays_in_float(given: Context, tmp_path: Path) -> None:
    weights = [numpy.eye(4), numpy.eye(4) * 1e6, numpy.eye(4) * 1e-6, numpy.eye(4)]
    graph, result = halved(weights, given, tmp_path)
    rows = given.data.test.rows
    answers, wanted = (graphs.predict(graphs.open_session(path), rows) for path in (result, graph))
    assert numpy.abs(answers - wanted).max() < 5e-3
    assert given.record["floatLayers"] == ["layer1", "relu1", "layer2"]
    assert "layer1" in given.notes[0]
    # No number beyond the range is in half precision anywhere, also where this machine would compute it in float.
    model = onnx.load(result)
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert [node.attribute[0].i for node in casts] == [
        TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.FLOAT,
    ]  # fmt: skip


def test_inputs_beyond_the_range_are_not_cast(given: Context, tmp_path: Path) -> None:
    given.data.validation.rows[:] *= 1e5  # the edges are among them
    _, result = halved([numpy.eye(4) * 1e-5, numpy.eye(4)], given, tmp_path)
    assert given.record["floatLayers"] == ["layer0"]
    assert numpy.isfinite(graphs.predict(graphs.open_session(result), given.data.extremes)).all()


@pytest.mark.deep
def test_digits_in_half_precision_are_as_good_and_half_as_large(tmp_path: Path) -> None:
    metrics = run_build(spec(TRAIN_WELL, {"pass": "float16"}), out=tmp_path / "out")["metrics"]
    assert metrics["accuracy"]["value"] == pytest.approx(metrics["accuracy.source"]["value"], abs=0.004)
    assert metrics["sizeBytes"]["value"] < 0.55 * metrics["sizeBytes.source"]["value"]


def fixed(speeds: dict[str, float]) -> Callable[..., dict[str, dict[str, float]]]:
    return lambda sessions, rows: {name: {"p50": speeds[name], "p95": 1.0} for name in sessions}


@pytest.mark.parametrize(
    ("speeds", "drop", "expected"),
    [
        ({"Float32": 3.0, "Float16": 2.0, "Int8Static": 4.0, "Int8Dynamic": 5.0}, 0.0, "Float16"),
        ({"Float32": 3.0, "Float16": 4.0, "Int8Static": 1.0, "Int8Dynamic": 5.0}, 0.02, "Float32"),
        ({"Float32": 3.0, "Float16": 4.0, "Int8Static": 1.0, "Int8Dynamic": 5.0}, 1.0, "Int8Static"),
        ({"Float32": 3.0, "Float16": 2.9, "Int8Static": 4.0, "Int8Dynamic": 5.0}, 0.0, "Float32"),
        ({"Float32": 3.0, "Float16": 3.0, "Int8Static": 3.0, "Int8Dynamic": 3.0}, 1.0, "Float32"),
    ],
)
def test_the_fastest_format_that_is_accurate_enough_is_kept_and_replayed(
    speeds: dict[str, float],
    drop: float,
    expected: str,
    given: Context,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("model_builder.evaluation.speed.latencies", fixed(speeds))
    graph, parameters = sensitive(tmp_path), fastest.Parameters(max_accuracy_drop=drop, calibration_rows=64)
    kept = fastest.apply(graph=graph, parameters=parameters, context=given).read_bytes()
    assert given.choices.made == {"format": expected}
    assert set(given.record["formats"]) == set(speeds)
    monkeypatch.setattr("model_builder.evaluation.speed.latencies", None)
    again = dataclasses.replace(given, choices=Choices(given={"format": expected}), workspace=tmp_path / "again")
    again.workspace.mkdir()
    assert fastest.apply(graph=graph, parameters=parameters, context=again).read_bytes() == kept


@pytest.mark.deep
def test_a_build_that_replays_a_manifest_has_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    """The format that was fastest then is slowest now."""
    file = tmp_path / "spec.json"
    recipe = ({"pass": "fastest", "parameters": {"maxAccuracyDrop": 0.02, "calibrationRows": 64}},)
    file.write_text(json.dumps(spec(TRAIN_WELL, *recipe)))
    latencies = speed.latencies
    digests = {}
    for name, first in (("then", "Int8Static"), ("replayed", "Float16")):
        favoured = {f: 1.0 if f == first else 9.0 for f in fastest.FORMATS}

        def measure(
            sessions: dict[str, Any], rows: Any, favoured: dict[str, float] = favoured
        ) -> dict[str, dict[str, float]]:
            return fixed(favoured)(sessions, rows) if "Int8Static" in sessions else latencies(sessions, rows)

        monkeypatch.setattr("model_builder.evaluation.speed.latencies", measure)
        more = ("--replay", tmp_path / "then/manifest.json") if name == "replayed" else ()
        cache = tmp_path / "cache" / name
        code, result = command("build", "--spec", file, "--out", tmp_path / name, "--cache", cache, *more)
        assert code == 0, result
        digests[name] = result["digest"]
        choices = json.loads((tmp_path / name / "manifest.json").read_text())["choices"]
        assert choices == {"1.fastest.format": "Int8Static"}
    assert digests["replayed"] == digests["then"]
