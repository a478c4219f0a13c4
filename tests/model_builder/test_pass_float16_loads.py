"""What the runtime makes of half precision when it loads it: in a process of its own, since it may crash."""

from pathlib import Path

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_builder import graph as graphs
from model_builder.evaluation import speed
from model_builder.passes import float16
from model_builder.passes.base import Context
from tests.model_builder.test_pass_quantize import given

__all__ = ["given"]


def turned(path: Path) -> Path:
    """Rows of four numbers as pairs of pairs; both pairs change places around a product, as attention does it."""
    constants = {
        "pairs": numpy.array([-1, 2, 2]),
        "flat": numpy.array([-1, 4]),
        "weight": numpy.eye(2, dtype="float32"),
    }
    nodes = [
        helper.make_node("Reshape", ["rows", "pairs"], ["paired"]),
        helper.make_node("Abs", ["paired"], ["positive"]),  # stays in FP32, as the norms of an encoder do
        helper.make_node("Transpose", ["positive"], ["turned"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["turned", "weight"], ["product"]),
        helper.make_node("Transpose", ["product"], ["back"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["back", "flat"], ["scores"]),
    ]
    entries = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("rows", "scores")]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "turned", entries[:1], entries[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.deep
def test_a_product_behind_a_transpose_does_not_crash_the_process_that_loads_it(given: Context, tmp_path: Path) -> None:
    graph, cleaned = turned(tmp_path / "x.onnx"), tmp_path / "cleaned.onnx"
    graphs.clean(float16.apply(graph=graph, parameters=float16.Parameters(), context=given), to=cleaned)
    assert TensorProto.FLOAT16 in {tensor.data_type for tensor in onnx.load(cleaned).graph.initializer}
    rows = given.data.test.rows
    speed.cold(cleaned, rows)  # BadData if that process does not end well
    assert numpy.abs(graphs.predict(graphs.open_session(cleaned), rows) - rows).max() < 1e-3
