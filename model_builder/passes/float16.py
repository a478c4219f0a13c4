"""Half precision (FP16) for what computes: half the size, and the arithmetic that GPUs are fastest at.

A conversion of our own: the usual tool leaves nodes out of order, and casts a number that is too large for 16 bits on
its way between two nodes that stay in 32. ONNX Runtime on a CPU computes most of it in 32 bits anyway, so an overflow
that a GPU will have does not show there: ranges are therefore measured on the graph as it was, and what comes near the
limit stays in 32 bits. BF16 is no option: ONNX Runtime has no BF16 kernels for a CPU.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import graph as graphs
from model_builder import graph_file
from model_builder.passes import int8
from model_builder.passes.base import Context, Pass, Stage

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

#: Operators that lose little in half precision and take it in every opset that is served. Not among them: Softmax and
#: other ends of a network, which cost nothing, and all that already works on integers. Nor Transpose: ONNX Runtime 1.32
#: on a CPU crashes the process that loads a MatMul behind a Transpose in half precision (MatmulTransposeFusion).
_HALF_OPERATORS = frozenset(
    [
        "Add",
        "AveragePool",
        "Concat",
        "Conv",
        "ConvTranspose",
        "Div",
        "Erf",
        "Flatten",
        "Gather",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "MatMul",
        "MaxPool",
        "Mul",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Slice",
        "Squeeze",
        "Sub",
        "Tanh",
        "Unsqueeze",
    ]
)
#: Half of the largest FP16 number (65504): live rows may go beyond those that were seen.
_LIMIT = 32752.0
_PORTION = 16


@dataclass(frozen=True)
class Parameters:
    """None: inputs and outputs stay FP32, and what does not fit into FP16 is found by measuring."""


def apply(*, graph: Path, parameters: Parameters, context: Context) -> Path:
    """Convert weights and activations to FP16, but for those whose numbers come near its limit."""
    import onnx

    del parameters
    prepared = int8.prepare(graph, folder=context.workspace)
    model = onnx.load(prepared)
    large = _large(prepared, model=model, context=context) | _captured(model.graph)
    kept = _Conversion(model=model, large=large).run()
    context.record["floatLayers"] = kept
    if kept:
        context.notes.append(
            f"{len(kept)} operators stayed in FP32, since their numbers come near the limit of FP16: {', '.join(kept)}"
        )
    converted = context.workspace / "float16.onnx"
    graph_file.write(model, folder=context.workspace, to=converted)
    return converted


def _large(prepared: Path, *, model: onnx.ModelProto, context: Context) -> set[str]:
    """Tensors that exceed the limit: weights, and activations on validation rows and on the edges of the range."""
    import numpy
    import onnx
    from onnx import numpy_helper

    rows = numpy.concatenate([context.data.validation.rows, context.data.extremes])
    watched = onnx.load(prepared, load_external_data=False)
    known = {value.name for value in watched.graph.output}
    watched.graph.output.extend(
        value
        for value in watched.graph.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        and value.name not in known
        and any(value.name in node.output for node in watched.graph.node)
    )
    path = prepared.with_name("watched.onnx")
    onnx.save(watched, path)
    session, entry = graphs.open_session(path), watched.graph.input[0].name
    names = [output.name for output in session.get_outputs()]
    found = {entry} if _exceeds(rows) else set[str]()
    for start in range(0, len(rows), _PORTION):
        values = session.run(None, {entry: rows[start : start + _PORTION]})
        found |= {name for name, value in zip(names, values, strict=True) if _exceeds(value)}
    return found | {w.name for w in model.graph.initializer if _exceeds(numpy_helper.to_array(w))}


def _exceeds(values: NDArray[Any]) -> bool:
    import numpy

    return bool(values.dtype == numpy.float32 and values.size and not numpy.abs(values).max() <= _LIMIT)


def _captured(part: onnx.GraphProto) -> set[str]:
    """Names that the bodies of If and Loop use: their bodies stay as they are."""
    bodies = [attribute.g for node in part.node for attribute in node.attribute if attribute.HasField("g")]
    return {name for body in bodies for node in body.node for name in node.input} | {
        name for body in bodies for name in _captured(body)
    }


class _Conversion:
    """One walk over the nodes in their order; a cast is put right before its first use."""

    def __init__(self, *, model: onnx.ModelProto, large: Set[str]) -> None:
        part = self._part = model.graph
        self._large = large
        self._weights = {tensor.name: tensor for tensor in part.initializer}
        values = [*part.input, *part.output, *part.value_info]
        self._types = {value.name: value.type.tensor_type.elem_type for value in values}
        self._types |= {name: tensor.data_type for name, tensor in self._weights.items()}
        self._served = {value.name for value in part.output}
        self._nodes: list[onnx.NodeProto] = []
        #: What a tensor is called in the other precision, once it was needed there.
        self._others: dict[str, str] = {}

    def run(self) -> list[str]:
        """Change the model; return the names of the nodes that stay in float because of their range."""
        import onnx

        kept = []
        for node in self._part.node:
            floats = [name for name in node.input if self._types.get(name) == onnx.TensorProto.FLOAT]
            half = node.op_type in _HALF_OPERATORS and bool(floats) and all(n in self._types for n in node.output)
            if half and not self._large.isdisjoint([*node.input, *node.output]):
                kept.append(node.name or node.output[0])
                half = False
            self._add(node, half=half)
        del self._part.node[:], self._part.value_info[:]
        self._part.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input} | self._served | _captured(self._part)
        tensors = [tensor for name, tensor in self._weights.items() if name in used]
        del self._part.initializer[:]
        self._part.initializer.extend(tensors)
        return kept

    def _add(self, node: onnx.NodeProto, *, half: bool) -> None:
        import onnx
        from onnx import TensorProto, helper

        added = onnx.NodeProto()
        added.CopyFrom(node)
        added.input[:] = [self._as(name, TensorProto.FLOAT16 if half else TensorProto.FLOAT) for name in node.input]
        self._nodes.append(added)
        if not half:
            return
        for place, name in enumerate(node.output):
            if name not in self._served:
                self._types[name] = TensorProto.FLOAT16
                continue
            added.output[place] = self._others[name] = f"{name}_fp16"
            self._nodes.append(helper.make_node("Cast", [self._others[name]], [name], to=TensorProto.FLOAT))

    def _as(self, name: str, wanted: int) -> str:
        """The name of a tensor in one of the two precisions; what is neither, keeps its name."""
        from onnx import TensorProto, helper, numpy_helper

        if self._types.get(name) not in (TensorProto.FLOAT, TensorProto.FLOAT16) or self._types[name] == wanted:
            return name
        if name not in self._others:
            self._others[name] = f"{name}_fp{16 if wanted == TensorProto.FLOAT16 else 32}"
            if name in self._weights and wanted == TensorProto.FLOAT16:
                values = numpy_helper.to_array(self._weights[name]).astype("float16")
                self._weights[self._others[name]] = numpy_helper.from_array(values, self._others[name])
            else:
                self._nodes.append(helper.make_node("Cast", [name], [self._others[name]], to=wanted))
        return self._others[name]


PASS = Pass(
    name="float16",
    stage=Stage.GRAPH,
    summary="halves the size by FP16 weights and activations; inputs and outputs stay FP32",
    parameters=Parameters,
    apply=apply,
    tolerance=0.01,
)
