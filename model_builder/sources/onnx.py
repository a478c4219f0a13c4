"""A model that comes as ONNX, from whatever trained it: TensorFlow and JAX models enter here."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from model_builder import graph_file
from model_builder.errors import BadData
from model_builder.sources.base import Fresh, Source, SourceModel

#: Operators that every ONNX Runtime has; others need libraries, and libraries are code.
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


def load(path: Path, *, name: str, source: Source, scratch: Path, fresh: Fresh) -> SourceModel:
    """Check the graph. One with data in files beside it is written anew, in the form of `graph_file`."""
    del fresh
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    joined = scratch / "joined.onnx"
    try:
        model = onnx.load(path, load_external_data=False)
        _check_operators(model.graph, name=name)
        outside = _check_data_files(model, path=path, name=name, limit=source.max_bytes)
        onnx.checker.check_model(str(path))  # by its path: in memory a graph has at most 2 GiB
        if outside:
            graph_file.write(model, folder=path.parent, to=joined)
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError, RuntimeError, TypeError) as error:
        raise BadData(
            f"{name} is no readable ONNX model ({' '.join(str(error).split())[:200]}): export it again"
        ) from error
    _check_interface(model.graph, name=name)
    return SourceModel(architecture=None, digest=None, graph=joined if outside else path)


def data_files(path: Path) -> list[Path]:
    """The files that hold weights of a graph, whether they are there or not; none if it is no graph."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except (DecodeError, ValueError):
        return []  # loading it says what is wrong
    outside = (tensor for tensor in graph_file.tensors(graph) if tensor.data_location == onnx.TensorProto.EXTERNAL)
    places = {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"}
    return [path.parent / place for place in sorted(places)]


def _check_operators(graph: Any, *, name: str) -> None:
    for node in graph.node:
        if node.domain not in _DOMAINS:
            raise BadData(f"{name} has the operator {node.domain}::{node.op_type}, which needs a library: replace it")
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _check_operators(inner, name=name)


def _check_data_files(model: Any, *, path: Path, name: str, limit: int) -> bool:
    """Whether there are data files; each must lie below the model's folder."""
    import onnx

    found, total = False, 0
    for tensor in graph_file.tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        found = True
        fields = {entry.key: entry.value for entry in tensor.external_data}
        place = PurePosixPath(fields.get("location", ""))
        file = path.parent / place
        if place.is_absolute() or ".." in place.parts or not file.resolve().is_relative_to(path.parent.resolve()):
            raise BadData(f"{name} reads the file {str(place)!r} outside its folder: refused")
        if not file.is_file():
            raise BadData(f"{name} needs the file {str(place)!r} beside it: upload it too")
        total += file.stat().st_size if fields.get("length") is None else int(fields["length"])
        if total > limit:
            raise BadData(f"{name} has more than {limit} bytes of data: refused, or raise maxBytes")
    return found


def _check_interface(graph: Any, *, name: str) -> None:
    given = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in given]
    outputs = [value.name for value in graph.output]
    if len(inputs) != 1 or len(outputs) != 1:
        raise BadData(
            f"{name} has the inputs {', '.join(inputs) or 'none'} and the outputs {', '.join(outputs) or 'none'}; "
            "a model must have one of each"
        )
