"""A .pt2 file of `torch.export.save`, checked before torch sees it.

`torch.export.load` is not safe by itself: as of torch 2.15 it unpickles payloads that say so, looks names of operators
up in all of `torch` and `operator`, gives expressions of shapes to sympy's `eval` and guards to Python's. So everything
in the archive that could become code is read first, and only what is known to be harmless is let through.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_builder.architectures.base import Architecture
from model_builder.errors import BadData
from model_builder.sources import safety
from model_builder.sources.base import Fresh, Source, SourceModel

_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.\w+\.\w+"
    r"|_operator\.(add|sub|mul|neg|pos|pow|mod|floordiv|truediv|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|math\.(trunc|ceil|floor)|torch\.sym_(not|int|float|ite|max|min|sqrt)"
)
_FUNCTIONS = frozenset(
    """Integer Float Rational Symbol Add Mul Pow Min Max Mod PythonMod FloorDiv CleanDiv CeilDiv FloorToInt TruncToInt
    CeilToInt ToFloat IntTrueDiv FloatTrueDiv Eq Ne Equality Unequality Unequal LessThan GreaterThan StrictLessThan
    StrictGreaterThan And Or Not Where ModularIndexing Abs""".split()  # noqa: SIM905 - a list of 30 strings reads worse
)
_NODES = (ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.UnaryOp, ast.USub)
_SYMBOL = re.compile(r"[suz]f?\d+|true|false", re.IGNORECASE)
_TREES = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, OSError, EOFError, RecursionError)


def load(path: Path, *, name: str, source: Source, scratch: Path, fresh: Fresh) -> SourceModel:
    """The program as a network with one input and one output."""
    del scratch, fresh
    import torch

    check(path, name=name, limit=source.max_bytes)
    try:
        program = torch.export.load(path)
        network = program.module(check_guards=False)
    except (RuntimeError, AssertionError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        detail = " ".join(str(error).split())[:200]
        raise BadData(f"{name} can't be loaded by torch {torch.__version__} ({detail}): export it again") from error
    inputs, outputs = program.graph_signature.user_inputs, program.graph_signature.user_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise BadData(f"{name} has {len(inputs)} inputs and {len(outputs)} outputs; a model must have one of each")
    made = Architecture(network=network, input_name=str(inputs[0]), output_name="output")
    return SourceModel(architecture=made, digest=None)


def check(path: Path, *, name: str, limit: int) -> None:
    """Refuse everything that could run code. BadData."""
    safety.check_archive(path, name=name, limit=limit)
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                inside = entry.partition("/")[2]
                if inside.endswith(".json"):
                    _check_json(json.loads(archive.read(entry)), name=name)
                elif inside.startswith("data/sample_inputs/"):
                    _check_tensors(archive.read(entry), name=name, entry=inside)
                elif not _is_plain(inside):
                    raise BadData(f"{name} has the entry {inside!r}, which may hold code: refused, export it again")
    except _UNREADABLE as error:
        raise BadData(f"{name} is no readable .pt2 file ({str(error)[:200]}): export it again") from error


def _is_plain(entry: str) -> bool:
    """Raw tensors, and the marks of the format."""
    known = ("archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id", "version")
    return entry in known or re.fullmatch(r"data/(weights/weight|constants/tensor)_\d+", entry) is not None


def _check_json(value: object, *, name: str) -> None:
    for entry in _mappings(value):
        if entry.get("use_pickle"):
            raise BadData(f"{name} has a pickled part ({entry.get('path_name')!r}), which can run code: refused")
        if str(entry.get("path_name", "")).startswith(("custom_obj", "opaque_obj")) or "as_custom_obj" in entry:
            raise BadData(f"{name} has an object of a class of its own, which can run code: refused")
        for key in ("target", "as_operator"):
            target = entry.get(key)
            if isinstance(target, str) and (key != "target" or "inputs" in entry) and not _OPERATOR.fullmatch(target):
                raise BadData(f"{name} calls {target[:100]!r}, which is no operator of a network: refused")
        if "expr_str" in entry:
            _check_expression(str(entry["expr_str"]), name=name)
        for key in ("in_spec", "out_spec"):
            if isinstance(entry.get(key), str) and entry[key]:
                _check_tree(json.loads(entry[key]), name=name)


def _check_tree(value: object, *, name: str) -> None:
    for entry in _mappings(value):
        if entry.get("type") not in _TREES:
            raise BadData(f"{name} has an input or output of type {entry.get('type')!r}: refused, use tensors")


def _check_expression(text: str, *, name: str) -> None:
    """Shapes are sums and products of symbols; anything else would be evaluated as well."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, MemoryError) as error:
        raise ValueError(f"expression {text[:60]!r}") from error
    for node in nodes:
        known = isinstance(node, _NODES)
        if isinstance(node, ast.Call):
            known = isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
        elif isinstance(node, ast.Name):
            known = node.id in _FUNCTIONS or _SYMBOL.fullmatch(node.id) is not None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            known = _SYMBOL.fullmatch(node.value) is not None
        if not known:
            raise BadData(f"{name} has the shape {text[:100]!r}, which is more than arithmetic: refused")


def _check_tensors(raw: bytes, *, name: str, entry: str) -> None:
    """Torch falls back to unpickling everything where this fails."""
    import torch

    if not raw:
        return
    try:
        torch.load(io.BytesIO(raw), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, AttributeError, IndexError) as error:
        raise BadData(f"{name} has example inputs ({entry}) that are not plain tensors: refused") from error


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            yield current
            waiting += current.values()
        elif isinstance(current, list):
            waiting += current
