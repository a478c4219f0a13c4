"""The exported ONNX graph: what it promises, and running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from model_builder import graph_file
from model_builder.contract import Interface, Tensor
from model_builder.errors import BadSpec, GateFailed

if TYPE_CHECKING:
    import onnx
    import onnxruntime  # type: ignore[import-untyped]
    from numpy.typing import NDArray


class Versions(NamedTuple):
    """The newest operators and file format that a server understands."""

    opset: int
    ir_version: int


#: The oldest ONNX Runtime that is to serve the artifact -> what it understands, from its table of compatibility.
#: Newer ones understand all of that: Triton 24.10 has 1.19, 26.07 has 1.27.
RUNTIMES = {
    "1.14": Versions(18, 8),
    "1.15": Versions(19, 9),
    "1.17": Versions(20, 9),
    "1.18": Versions(20, 10),
}
DEFAULT_RUNTIME = "1.18"
LABEL = "label"
_PORTION = 64

#: ONNX element type -> Triton datatype.
DATATYPES = {
    "FLOAT": "FP32",
    "DOUBLE": "FP64",
    "FLOAT16": "FP16",
    "BFLOAT16": "BF16",
    "INT8": "INT8",
    "INT16": "INT16",
    "INT32": "INT32",
    "INT64": "INT64",
    "UINT8": "UINT8",
    "UINT16": "UINT16",
    "UINT32": "UINT32",
    "UINT64": "UINT64",
    "BOOL": "BOOL",
    "STRING": "BYTES",
}


def clean(graph: Path, *, to: Path, runtime: str = DEFAULT_RUNTIME, labels: Sequence[str] = ()) -> None:
    """Copy a graph without what the exporter noted about the machine it ran on (source paths, stack traces).

    With `labels`, the graph also answers with the name of the most probable class, as a string. A large graph gets a
    file of data beside it, see `graph_file`.

    Raises:
        GateFailed: the graph uses operators that the oldest server it is meant for does not have.
    """
    import onnx

    model = onnx.load(graph, load_external_data=False)
    model.producer_name, model.producer_version, model.doc_string = "model_builder", "", ""
    del model.metadata_props[:]
    _strip(model.graph)
    for function in model.functions:
        _strip(function)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    newest = RUNTIMES[runtime]
    if opset > newest.opset:
        raise GateFailed(
            f"the graph needs opset {opset}, but ONNX Runtime {runtime} knows {newest.opset} at most: serve it with a "
            "newer one and say so in export.runtime, or replace the operator that needs it"
        )
    model.ir_version = min(model.ir_version, newest.ir_version)
    if labels:
        _name_classes(model.graph, labels=labels)
    graph_file.write(model, folder=graph.parent, to=to)


def _strip(part: onnx.GraphProto | onnx.FunctionProto) -> None:
    import onnx

    part.doc_string = ""
    del part.metadata_props[:]
    # A function's inputs and outputs are bare names; only a graph's can carry notes, and only it has weights.
    noted = [*part.input, *part.output, *part.initializer] if isinstance(part, onnx.GraphProto) else []
    for item in [*part.node, *part.value_info, *noted]:
        item.doc_string = ""
        del item.metadata_props[:]


def _name_classes(part: onnx.GraphProto, *, labels: Sequence[str]) -> None:
    """Add an output with the label of the largest number in the last dimension of the first output."""
    import numpy
    from onnx import TensorProto, helper, numpy_helper

    first = part.output[0]
    part.initializer.append(numpy_helper.from_array(numpy.array(labels, dtype=object), "class_names"))
    part.node.append(helper.make_node("ArgMax", [first.name], ["class_number"], axis=-1, keepdims=0))
    part.node.append(helper.make_node("Gather", ["class_names", "class_number"], [LABEL], axis=0))
    part.output.append(helper.make_tensor_value_info(LABEL, TensorProto.STRING, ["batch"]))


def versions(graph: Path) -> tuple[int, int]:
    """The opset and the IR version that a server must know."""
    import onnx

    model = onnx.load(graph, load_external_data=False)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return opset, model.ir_version


def interface(graph: Path) -> Interface:
    """Inputs, outputs, and whether requests can be batched: only if the first dimension of every tensor is free."""
    import onnx

    model = onnx.load(graph, load_external_data=False).graph
    raw_inputs, raw_outputs = ([_tensor(value) for value in values] for values in (model.input, model.output))
    every = raw_inputs + raw_outputs
    batchable = all(tensor.shape and tensor.shape[0] == -1 for tensor in every)
    if batchable:
        raw_inputs, raw_outputs = (
            [Tensor(name=t.name, datatype=t.datatype, shape=t.shape[1:]) for t in tensors]
            for tensors in (raw_inputs, raw_outputs)
        )
    return Interface(inputs=tuple(raw_inputs), outputs=tuple(raw_outputs), batchable=batchable)


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    import onnx

    tensor = value.type.tensor_type
    element = onnx.TensorProto.DataType.Name(tensor.elem_type)
    if element not in DATATYPES:
        raise BadSpec(f"{value.name!r} has the type {element}, which Triton can't carry: cast it inside the network")
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    return Tensor(name=value.name, datatype=DATATYPES[element], shape=shape)


def open_session(graph: Path) -> onnxruntime.InferenceSession:
    """A session of one thread: its answers and its speed do not follow the number of cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def answers(session: onnxruntime.InferenceSession, rows: NDArray[Any]) -> list[NDArray[Any]]:
    """All outputs for the only input, each with a row per row; many go through in portions, to bound the memory."""
    import numpy

    name = session.get_inputs()[0].name
    portions = (rows[start : start + _PORTION] for start in range(0, len(rows), _PORTION))
    found = [session.run(None, {name: portion}) for portion in portions]
    return [numpy.concatenate(parts) for parts in zip(*found, strict=True)]


def predict(session: onnxruntime.InferenceSession, rows: NDArray[Any]) -> NDArray[Any]:
    """The first output, which is the model's answer: names of classes say nothing that it does not."""
    return answers(session, rows)[0]
