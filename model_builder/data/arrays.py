"""npz: numpy arrays `rows` and `label` (and one per group), never with pickled objects in them."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder.data.base import Task
from model_builder.data.parameters import Data
from model_builder.data.records import Records
from model_builder.decode import suggest
from model_builder.errors import BadData

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = "rows"
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    OSError,
    EOFError,
    KeyError,
    TypeError,
    SyntaxError,
    MemoryError,
    OverflowError,
    RecursionError,
    RuntimeError,  # zipfile's for an encrypted entry; NotImplementedError, for a strange compression, is one too
)


def read(path: Path, *, name: str, data: Data, labelled: bool) -> Records:
    """An npz file."""
    import numpy

    arrays = _load(path, name=name, limit=data.max_bytes)
    needed = [ROWS, *([data.label, *data.groups] if labelled else [])]
    for wanted in needed:
        if wanted not in arrays:
            raise BadData(f"{name} has no array {wanted!r}; {suggest(wanted, arrays)}")
    rows = arrays[ROWS]
    if rows.ndim < 2 or rows.dtype.kind not in "fiub" or rows[:1].size == 0:
        raise BadData(
            f"{name}: the array 'rows' has shape {rows.shape} and type {rows.dtype}; it must have two or more "
            "dimensions, rows first, and numbers"
        )
    for wanted in needed[1:]:
        if len(arrays[wanted]) != len(rows):
            raise BadData(f"{name}: {wanted!r} has {len(arrays[wanted])} entries, 'rows' has {len(rows)}: align them")
    if data.columns and (rows.ndim != 2 or len(data.columns) != rows.shape[1]):
        raise BadData(f"{name}: data.columns has {len(data.columns)} names, 'rows' has shape {rows.shape}")
    numbers = numpy.arange(1, len(rows) + 1)
    return Records(
        rows=_as_input(rows, name=name),
        labels=_labels(arrays[data.label], rows=rows, name=name, data=data) if labelled else None,
        files=(name,),
        places=numpy.stack([numpy.zeros_like(numbers), numbers], axis=1),
        counted="row",
        groups={group: arrays[group].astype(str) for group in data.groups} if labelled else {},
        columns=data.columns,
    )


def _load(path: Path, *, name: str, limit: int) -> dict[str, NDArray[Any]]:
    import numpy

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > limit:
                raise BadData(f"{name} unpacks to more than maxBytes ({limit}): raise it, or take fewer rows")
            for entry in archive.infolist():
                _check_header(archive, entry)
        with numpy.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if file[key].ndim > 0}
    except _UNREADABLE as error:
        detail = " ".join(str(error).split())[:200]
        raise BadData(f"{name} is no readable npz file ({detail}): write it with numpy.savez, no objects") from error


def _check_header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """An array that promises more than its entry holds would be given memory for the promise."""
    import numpy

    with archive.open(entry) as stream:
        version = numpy.lib.format.read_magic(stream)
        reader = numpy.lib.format.read_array_header_1_0 if version[0] == 1 else numpy.lib.format.read_array_header_2_0
        shape, _, dtype = reader(stream)
    size = dtype.itemsize
    for length in shape:
        size *= length
    if dtype.hasobject or size > entry.file_size:
        raise ValueError(f"{entry.filename} has Python objects, or less data than it says")


def _as_input(rows: NDArray[Any], *, name: str) -> NDArray[Any]:
    """Whole numbers stay whole (they may be tokens), everything else is float32."""
    import numpy

    if rows.dtype.kind in "iub":
        return rows.astype("int64" if rows.dtype.kind == "i" or rows.dtype.itemsize > 1 else "float32")
    with numpy.errstate(over="ignore"):
        single = rows.astype("float32")
    if numpy.isinf(single).any():
        first = tuple(int(index) for index in numpy.argwhere(numpy.isinf(single))[0])
        raise BadData(
            f"{name}, row {first[0] + 1}, position {first[1:]} is {rows[first]}: values must be finite, correct it"
        )
    return single


def _labels(labels: NDArray[Any], *, rows: NDArray[Any], name: str, data: Data) -> NDArray[Any]:
    import numpy

    kinds, dimensions = ("fiub", 1) if data.kind is Task.REGRESSION else ("iuUb", 1)
    if data.kind is Task.TOKEN_CLASSIFICATION:
        kinds, dimensions = "i", 2
    if labels.dtype.kind not in kinds or labels.ndim != dimensions:
        raise BadData(
            f"{name}: the array {data.label!r} has shape {labels.shape} and type {labels.dtype}, which does not fit "
            f"the task {data.task}: classes are whole numbers or strings, targets of a regression are numbers"
        )
    if data.kind is Task.TOKEN_CLASSIFICATION:
        if labels.shape != rows.shape:
            raise BadData(f"{name}: {data.label!r} has shape {labels.shape}, 'rows' has {rows.shape}: one per token")
        packed = numpy.empty(len(labels), dtype=object)
        packed[:] = [tuple(str(label) for label in row) for row in labels.tolist()]
        return packed
    if data.kind is Task.CLASSIFICATION:
        return labels.astype(str)
    numbers = labels.astype("float32")
    if not numpy.isfinite(numbers).all():
        bad = int((~numpy.isfinite(numbers)).argmax())
        raise BadData(f"{name}, row {bad + 1}: the target is {labels[bad]}, which is no finite number: correct it")
    return numbers
