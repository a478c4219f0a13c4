"""What `quantize` can be asked for, on graphs of known weights."""

import dataclasses
import gc
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_builder.cache import Cache
from model_builder.data.base import Dataset, Split, Task
from model_builder.meter import measured
from model_builder.passes import quantize
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
