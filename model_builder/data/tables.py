"""CSV and Parquet: one row per line, features in named columns of numbers."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder.data.base import Task
from model_builder.data.parameters import Data
from model_builder.data.records import Records
from model_builder.decode import suggest
from model_builder.errors import BadData, BadSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How people write an empty cell.
_GAPS = ("", "na", "n/a", "nan", "null", "none")
_Table = Mapping[str, "NDArray[Any]"]


def read_csv(path: Path, *, name: str, data: Data, labelled: bool) -> Records:
    """A CSV file with a header."""
    import numpy

    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream, strict=True)
            header = next(lines, [])
            numbers, cells = [], []
            for line in lines:
                if len(line) != len(header):
                    raise BadData(
                        f"{name}, row {lines.line_num} has {len(line)} cells, the header has {len(header)}: "
                        "put text with commas into quotes, or complete the row"
                    )
                numbers.append(lines.line_num)
                cells.append(line)
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadData(f"{name} is no readable CSV ({error}): save it as UTF-8 with commas between cells") from error
    if not cells:
        raise BadData(f"{name} has no rows below its header: check that the whole file was uploaded")
    _check_header(header, name=name)
    columns = zip(*cells, strict=True)
    table = {title: numpy.array(column, dtype=str) for title, column in zip(header, columns, strict=True)}
    return _records(table, rows=numpy.array(numbers, dtype="int64"), name=name, data=data, labelled=labelled)


def read_parquet(path: Path, *, name: str, data: Data, labelled: bool) -> Records:
    """A Parquet file with flat columns."""
    import numpy

    try:
        import pyarrow  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError as error:
        raise BadSpec("the format Parquet needs pyarrow: install the extra 'data', or use CSV") from error
    try:
        with parquet.ParquetFile(path) as file:
            metadata = file.metadata
            size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
            if max(size, metadata.num_rows * metadata.num_columns * 8) > data.max_bytes:
                raise BadData(f"{name} unpacks to more than maxBytes ({data.max_bytes}): raise it, or take fewer rows")
            arrow = file.read()
        _check_header(arrow.column_names, name=name)
        table = {title: _from_arrow(arrow.column(title)) for title in arrow.column_names}
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        detail = " ".join(str(error).split())[:200]
        raise BadData(f"{name} is no readable Parquet file ({detail}): write it again") from error
    rows = numpy.arange(1, metadata.num_rows + 1)
    if not len(rows):
        raise BadData(f"{name} has no rows: check that the whole file was uploaded")
    return _records(table, rows=rows, name=name, data=data, labelled=labelled)


def _from_arrow(column: Any) -> NDArray[Any]:
    import numpy
    import pyarrow

    kind = column.type
    if pyarrow.types.is_floating(kind) or (pyarrow.types.is_integer(kind) and column.null_count):
        values: NDArray[Any] = column.cast(pyarrow.float64()).to_numpy()
        return values
    if pyarrow.types.is_integer(kind) or pyarrow.types.is_boolean(kind):
        return numpy.array(column.to_numpy())
    return numpy.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=str)


def _check_header(header: Sequence[str], *, name: str) -> None:
    twice = sorted({title for title in header if header.count(title) > 1})
    if twice:
        raise BadData(f"{name} has the column {twice[0]!r} twice: rename one")


def _records(table: _Table, *, rows: NDArray[Any], name: str, data: Data, labelled: bool) -> Records:
    import numpy

    features = data.columns or tuple(c for c in table if c != data.label and c not in data.groups)
    needed = [*features, *(data.groups if labelled else ()), *([data.label] if labelled else [])]
    for column in needed:
        if column not in table:
            raise BadData(f"{name} has no column {column!r}; {suggest(column, table)}")
    if not features:
        raise BadData(f"{name} has no columns of features: name them in data.columns")

    def place(index: int, column: str) -> str:
        return f"{name}, row {rows[index]}, column {column!r}"

    matrix = numpy.stack([_numbers(table[c], place=place, column=c) for c in features], axis=1)
    labels = _labels(table[data.label], place=place, data=data) if labelled else None
    return Records(
        rows=matrix,
        labels=labels,
        files=(name,),
        places=numpy.stack([numpy.zeros_like(rows), rows], axis=1),
        counted="row",
        groups={group: _words(table[group]) for group in data.groups} if labelled else {},
        columns=features,
    )


def _numbers(values: NDArray[Any], *, place: Any, column: str) -> NDArray[Any]:
    """float32 with NaN for a gap."""
    import numpy

    if values.dtype.kind == "U":
        gaps = numpy.isin(numpy.char.lower(numpy.char.strip(values)), _GAPS)
        filled = numpy.where(gaps, "nan", values)
        try:
            numbers = filled.astype("float64")
        except ValueError:
            bad = next(index for index, text in enumerate(filled) if not _is_number(text))
            raise BadData(
                f"{place(bad, column)} is {str(values[bad])[:60]!r}, which is no number: correct it, or name the "
                "columns of numbers in data.columns"
            ) from None
    else:
        numbers = values.astype("float64")
    with numpy.errstate(over="ignore"):
        single = numbers.astype("float32")
    if numpy.isinf(single).any():
        bad = int(numpy.isinf(single).argmax())
        raise BadData(f"{place(bad, column)} is {values[bad]}: values must be finite (and below 3.4e38), correct it")
    return single


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _labels(values: NDArray[Any], *, place: Any, data: Data) -> NDArray[Any]:
    import numpy

    if data.kind is Task.REGRESSION:
        labels = _numbers(values, place=place, column=data.label)
        missing = numpy.isnan(labels)
    else:
        labels = _words(values)
        missing = numpy.isin(numpy.char.lower(labels), _GAPS)
    if missing.any():
        bad = int(missing.argmax())
        raise BadData(f"{place(bad, data.label)} is empty: give the row its label, or move it to data.unlabelled")
    return labels


def _words(values: NDArray[Any]) -> NDArray[Any]:
    """Strings; a whole number has no '.0', however its column was stored."""
    import numpy

    if values.dtype.kind == "f" and numpy.isfinite(values).all() and (values == numpy.floor(values)).all():
        values = values.astype("int64")
    return numpy.char.strip(values.astype(str))
