"""How a graph lies on disk: `model.onnx` alone, or, where it has many weights, with `model.onnx.data` beside it.

Protocol buffers, in which ONNX is written, end at 2 GiB. Well below that a file of data is better already: ONNX Runtime
maps it into memory, where it would hold what is in the graph two to three times while it opens it.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

#: Bytes of weights from which on they lie in a file of data.
DATA_FILE_FROM = 2**28
_SUFFIX = ".data"
#: Bytes from which on a weight is not copied; what a shape can follow from is smaller.
_LARGE = 2**16
#: Where weights begin in a file of data, so that any system can map them (64 KiB are the most that one asks for).
_ALIGNMENT = 2**16


def files(graph: Path) -> tuple[Path, ...]:
    """The files that a graph written by `write` has: itself, and its data where they are not in it."""
    data = _data_of(graph)
    return (graph, data) if data.is_file() else (graph,)


def large(model: onnx.ModelProto) -> bool:
    """Whether a graph has so many weights that they belong into a file of data, wherever they are now."""
    return sum(_bytes(tensor) for tensor in model.graph.initializer) >= DATA_FILE_FROM


def tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """All tensors of a graph and of the graphs inside its operators."""
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t, *attribute.tensors]
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    found += tensors(inner)
    return found


def copy_data(graph: Path, *, folder: Path) -> None:
    """Put the data of a graph into another folder as well.

    ONNX Runtime needs that where it writes a changed graph: weights that it did not touch stay in the file of data,
    which it expects beside the new graph. Copies, since neither it nor onnx reads data through links.
    """
    for file in files(graph)[1:]:
        shutil.copyfile(file, folder / file.name)


def write(model: onnx.ModelProto, *, folder: Path, to: Path) -> None:
    """Check a graph and write it: as one file, or from `DATA_FILE_FROM` bytes of weights on as two.

    Args:
        model: the graph; weights that are not in it lie in files of `folder`.
        folder: where it was read.
        to: the file to write. One of data has that name and `.data`.

    Raises:
        onnx.checker.ValidationError: the graph is none.
    """
    light, heavy = _parted(model)
    _take_in(light.graph, folder=folder)
    _check(light, heavy=heavy)
    if sum(_bytes(tensor) for tensor in heavy) < DATA_FILE_FROM:
        _write_one(light, heavy=heavy, folder=folder, to=to)
    else:
        _write_two(light, heavy=heavy, folder=folder, to=to)


def _data_of(graph: Path) -> Path:
    return graph.with_name(graph.name + _SUFFIX)


def _write_one(light: onnx.ModelProto, *, heavy: Sequence[onnx.TensorProto], folder: Path, to: Path) -> None:
    """Serialized messages that follow each other are read as one, their lists joined: no copy of all weights."""
    _data_of(to).unlink(missing_ok=True)  # of a graph that was there before
    with to.open("wb") as stream:
        stream.write(light.SerializeToString(deterministic=True))
        for tensor in heavy:
            stream.write(_alone(tensor, folder=folder).SerializeToString(deterministic=True))


def _write_two(light: onnx.ModelProto, *, heavy: Sequence[onnx.TensorProto], folder: Path, to: Path) -> None:
    import onnx

    data = _data_of(to)
    with data.open("wb") as stream:
        for tensor in heavy:
            stream.write(bytes(-stream.tell() % _ALIGNMENT))
            (whole,) = _alone(tensor, folder=folder).graph.initializer
            place = {"location": data.name, "offset": str(stream.tell()), "length": str(len(whole.raw_data))}
            stream.write(whole.raw_data)
            placed = light.graph.initializer.add()
            placed.name, placed.data_type = tensor.name, tensor.data_type
            placed.dims.extend(tensor.dims)
            placed.data_location = onnx.TensorProto.EXTERNAL
            for key, value in place.items():
                placed.external_data.add(key=key, value=value)
    to.write_bytes(light.SerializeToString(deterministic=True))


def _alone(tensor: onnx.TensorProto, *, folder: Path) -> onnx.ModelProto:
    """A model that holds one weight, its data read."""
    import onnx

    part = onnx.ModelProto()
    part.graph.initializer.add().CopyFrom(tensor)
    onnx.external_data_helper.load_external_data_for_model(part, str(folder))
    part.graph.initializer[0].ClearField("data_location")  # one weight has one form, wherever it came from
    return part


def _bytes(tensor: onnx.TensorProto) -> int:
    from onnx import helper

    size: int = math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return size


def _parted(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[onnx.TensorProto]]:
    """A copy of a model without its large weights, and those, not copied."""
    import onnx

    light = onnx.ModelProto()
    light.ir_version, light.producer_name = model.ir_version, model.producer_name
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name
    for part in ("node", "input", "output", "value_info", "sparse_initializer", "quantization_annotation"):
        getattr(light.graph, part).extend(getattr(model.graph, part))
    heavy = []
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) >= _LARGE or tensor.data_location == onnx.TensorProto.EXTERNAL:
            heavy.append(tensor)
        else:
            light.graph.initializer.append(tensor)
    return light, heavy


def _take_in(part: onnx.GraphProto, *, folder: Path) -> None:
    """Read what lies in files into the graph: constants of operators, which no file of ours has apart."""
    import onnx

    for tensor in tensors(part):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")


def _check(light: onnx.ModelProto, *, heavy: Sequence[onnx.TensorProto]) -> None:
    """Check types and shapes all through the graph, with inputs in place of the large weights."""
    import onnx
    from onnx import helper

    whole = onnx.ModelProto()
    whole.CopyFrom(light)
    given = {value.name for value in whole.graph.input}
    whole.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in heavy
        if tensor.name not in given
    )
    onnx.checker.check_model(whole, full_check=True)
