"""What `quantize` can be asked for, on graphs of known weights."""

import dataclasses
import gc
from pathlib import Path
from typing import Any, Literal

import numpy
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_builder.cache import Cache
from model_builder.choices import Choices
from model_builder.data.base import Dataset, Split, Task
from model_builder.errors import BadSpec
from model_builder.meter import measured
from model_builder.passes import int8, quality, quantize
from model_builder.passes.base import Context
from model_builder.progress import SilentReporter


def layered(path: Path, weights: list[NDArray[Any]]) -> Path:
    """A graph of MatMul and Relu layers, `layer0` to the last, which has no Relu."""
    nodes, name = [], "rows"
    for i, _ in enumerate(weights):
        last = i == len(weights) - 1
        nodes.append(helper.make_node("MatMul", [name, f"weight{i}"], ["scores" if last else f"sum{i}"], f"layer{i}"))
        if not last:
            nodes.append(helper.make_node("Relu", [f"sum{i}"], [f"hidden{i}"], f"relu{i}"))
        name = f"hidden{i}"
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", weights[0].shape[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", weights[-1].shape[1]])],
        [numpy_helper.from_array(weight.astype("float32"), f"weight{i}") for i, weight in enumerate(weights)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def dataset(rows: NDArray[Any], labels: NDArray[Any]) -> Dataset:
    """The same rows in all splits."""
    split = Split(rows=rows.astype("float32"), labels=labels)
    classes = tuple(str(i) for i in range(int(labels.max()) + 1))
    return Dataset("own", "digest", Task.CLASSIFICATION, classes, split, split, split, extremes=split.rows[:2])


def context(data: Dataset, *, folder: Path) -> Context:
    return Context(
        data=data,
        seed=0,
        reporter=SilentReporter(),
        workspace=folder,
        cache=Cache.open(folder / "cache", tell=lambda _: None),
        checkpoints=folder,
    )


@pytest.mark.deep
def test_few_copies_of_a_large_model_are_in_memory_at_once(tmp_path: Path) -> None:
    chance = numpy.random.default_rng(0)
    weights = [chance.standard_normal((2048, 2048), dtype="float32") / 50 for _ in range(8)]
    graph = layered(tmp_path / "large.onnx", weights)
    given = context(dataset(chance.random((8, 2048)), numpy.arange(8) % 2), folder=tmp_path)
    parameters = quantize.Parameters(calibration_rows=2)
    quantize.apply(
        graph=layered(tmp_path / "small.onnx", [w[:8, :8] for w in weights[:1]]),
        parameters=parameters,
        context=dataclasses.replace(given, data=dataset(chance.random((8, 8)), numpy.arange(8) % 2)),
    )
    del weights
    gc.collect()
    with measured() as before:
        pass
    with measured() as usage:
        quantize.apply(graph=graph, parameters=parameters, context=given)
    assert before.peak_bytes is not None
    assert usage.peak_bytes is not None
    assert usage.peak_bytes - before.peak_bytes < 4.2 * graph.stat().st_size


@pytest.fixture
def given(tmp_path: Path) -> Context:
    """Rows that an identity classifies: the largest of four numbers is the class."""
    rows = numpy.random.default_rng(1).random((200, 4)) + numpy.eye(4)[numpy.arange(200) % 4] / 4
    return context(dataset(rows, rows.argmax(1)), folder=tmp_path)


def sensitive(folder: Path) -> Path:
    """`layer1` adds two hundred times a number that no class depends on: INT8 of its output drowns the others."""
    wide = numpy.hstack([numpy.eye(4), numpy.ones((4, 1)) * 200])
    return layered(folder / "x.onnx", [numpy.eye(4), wide, numpy.vstack([numpy.eye(4), numpy.zeros((1, 4))])])


def accuracy(graph: Path, data: Dataset) -> float:
    return quality.accuracy(quality.answers(graph, data=data), data=data)


def operators(graph: Path) -> list[str]:
    return [node.op_type for node in onnx.load(graph).graph.node]


def test_layers_go_back_to_float_until_the_accuracy_holds(given: Context, tmp_path: Path) -> None:
    graph, parameters = sensitive(tmp_path), quantize.Parameters(calibration_rows=64)
    assert accuracy(quantize.apply(graph=graph, parameters=parameters, context=given), given.data) < 0.6
    held = dataclasses.replace(parameters, max_accuracy_drop=0.02)
    result = quantize.apply(graph=graph, parameters=held, context=given)
    assert accuracy(result, given.data) >= accuracy(graph, given.data) - 0.02
    kept = given.record["floatLayers"]
    assert "QuantizeLinear" in operators(result)
    assert 0 < len(kept) < 3
    assert all(name in given.notes[0] for name in kept)


def test_no_layer_goes_back_where_the_accuracy_holds(given: Context, tmp_path: Path) -> None:
    graph = layered(tmp_path / "x.onnx", [numpy.eye(4)])
    parameters = quantize.Parameters(calibration_rows=64, max_accuracy_drop=0.05)
    assert "QuantizeLinear" in operators(quantize.apply(graph=graph, parameters=parameters, context=given))
    assert (given.record["floatLayers"], given.notes) == ([], [])


def test_what_no_quantization_holds_stays_in_float(given: Context, tmp_path: Path) -> None:
    graph = sensitive(tmp_path)
    spoil = dataclasses.replace(given, data=dataclasses.replace(given.data, train=blank(given.data.train)))
    parameters = quantize.Parameters(calibration_rows=64, max_accuracy_drop=0.0)
    result = quantize.apply(graph=graph, parameters=parameters, context=spoil)
    assert accuracy(result, given.data) == accuracy(graph, given.data)
    assert spoil.record["floatLayers"] == ["layer0", "layer1", "layer2"]


def blank(split: Split) -> Split:
    return dataclasses.replace(split, rows=numpy.zeros_like(split.rows))


def test_the_calibration_is_searched_and_replayed(
    given: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = iter([0.5, 0.7, 0.9])
    monkeypatch.setattr(quality, "accuracy", lambda *_, **__: next(reached))
    graph, parameters = sensitive(tmp_path), quantize.Parameters(calibration_rows=64, calibration="Search")
    first = quantize.apply(graph=graph, parameters=parameters, context=given).read_bytes()
    assert given.choices.made == {"calibration": "Percentile"}
    assert set(given.record["calibration"]) == set(quantize.METHODS)
    again = dataclasses.replace(given, choices=Choices(given={"calibration": "Percentile"}), record={})
    assert quantize.apply(graph=graph, parameters=parameters, context=again).read_bytes() == first
    assert again.record == {}, "a replayed choice is not searched for again"


def test_dynamic_needs_no_calibration_and_says_where_it_does_nothing(given: Context, tmp_path: Path) -> None:
    parameters = quantize.Parameters(scheme="Int8Dynamic", calibration_rows=5000)
    graph = layered(tmp_path / "x.onnx", [numpy.eye(4), numpy.eye(4)])
    result = quantize.apply(graph=graph, parameters=parameters, context=given)
    assert operators(result).count("MatMulInteger") == 2
    assert accuracy(result, given.data) > 0.95
    none = onnx.load(graph)
    for node in none.graph.node:
        node.op_type, node.input[1:] = "Relu", []
    onnx.save(none, graph)
    with pytest.raises(BadSpec, match="Int8Dynamic is for MatMul and Gemm layers, and the graph has none"):
        quantize.apply(graph=graph, parameters=parameters, context=given)


def test_dynamic_leaves_the_layers_alone_that_it_is_told_to(tmp_path: Path) -> None:
    graph = layered(tmp_path / "x.onnx", [numpy.eye(4), numpy.eye(4)])
    model = onnx.load(graph)
    for node in model.graph.node:
        node.op_type = node.op_type.replace("MatMul", "Gemm")
    model.graph.node[0].name = ""
    onnx.save(model, graph)
    prepared, result = int8.prepare(graph, folder=tmp_path), tmp_path / "result.onnx"
    layers = int8.weighted_layers(prepared, operators=int8.DYNAMIC_OPERATORS)
    for count in range(3):
        int8.dynamic(prepared, to=result, without=layers[:count])
        assert operators(result).count("MatMulInteger") == 2 - count


@pytest.mark.parametrize(("activations", "kind"), [("Unsigned", TensorProto.UINT8), ("Signed", TensorProto.INT8)])
def test_activations_have_a_sign_where_it_is_asked_for(
    tmp_path: Path, activations: Literal["Unsigned", "Signed"], kind: int
) -> None:
    chance = numpy.random.default_rng(0)
    graph = layered(tmp_path / "net.onnx", [chance.standard_normal((4, 4)) for _ in range(2)])
    parameters = quantize.Parameters(calibration_rows=8, activations=activations)
    data = dataset(chance.random((8, 4)), numpy.arange(8) % 2)
    made = onnx.load(quantize.apply(graph=graph, parameters=parameters, context=context(data, folder=tmp_path))).graph
    tensors = {tensor.name: tensor for tensor in made.initializer}
    zeros = [tensors[node.input[2]] for node in made.node if node.op_type == "QuantizeLinear"]
    assert {zero.data_type for zero in zeros} == {kind}
    assert activations == "Unsigned" or not any(numpy_helper.to_array(zero).any() for zero in zeros)
