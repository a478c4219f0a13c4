"""The exported ONNX graph: what it promises, and running it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder.contract import Tensor
from model_builder.errors import BadSpec, GateFailed

if TYPE_CHECKING:
    import onnx
    import onnxruntime  # type: ignore[import-untyped]
    from numpy.typing import NDArray

#: What the oldest server that is meant to serve the artifact understands (ONNX Runtime 1.18 and newer).
MAX_OPSET, MAX_IR_VERSION = 20, 10
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


def clean(graph: Path, *, to: Path) -> None:
    """Copy a graph without what the exporter noted about the machine it ran on (source paths, stack traces)."""
    import onnx

    model = onnx.load(graph)
    model.producer_name, model.producer_version, model.doc_string = "model_builder", "", ""
    del model.metadata_props[:]
    _strip(model.graph)
    for function in model.functions:
        _strip(function)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset > MAX_OPSET:
        raise GateFailed(f"the graph needs opset {opset}, but servers are only asked for {MAX_OPSET}: lower the opset")
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, to)


def _strip(part: onnx.GraphProto | onnx.FunctionProto) -> None:
    import onnx

    part.doc_string = ""
    del part.metadata_props[:]
    # A function's inputs and outputs are bare names; only a graph's can carry notes, and only it has weights.
    noted = [*part.input, *part.output, *part.initializer] if isinstance(part, onnx.GraphProto) else []
    for item in [*part.node, *part.value_info, *noted]:
        item.doc_string = ""
        del item.metadata_props[:]


def versions(graph: Path) -> tuple[int, int]:
    """The opset and the IR version that a server must know."""
    import onnx

    model = onnx.load(graph, load_external_data=False)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return opset, model.ir_version


def interface(graph: Path) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], bool]:
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
    return tuple(raw_inputs), tuple(raw_outputs), batchable


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


def predict(session: onnxruntime.InferenceSession, rows: NDArray[Any]) -> NDArray[Any]:
    """The only output for the only input; many rows go through in portions, to bound the memory."""
    import numpy

    name = session.get_inputs()[0].name
    portions = (rows[start : start + _PORTION] for start in range(0, len(rows), _PORTION))
    answer: NDArray[Any] = numpy.concatenate([session.run(None, {name: portion})[0] for portion in portions])
    return answer
