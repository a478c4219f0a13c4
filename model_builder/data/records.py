"""What a reader hands over: rows as they were found, with the place of each, nothing cleaned and nothing numbered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows whose columns differ by less than this share of the column's spread count as the same row written twice.
_CELL = 1e-4
_CHUNK = 1024


@dataclass(frozen=True)
class Records:
    """Rows of one source.

    Attributes:
        rows: (n, ...) numbers with NaN for a gap, or (n,) tuples of tokens.
        labels: (n,) strings, (n,) float32 for a regression, (n,) tuples of strings for tokens; None without labels.
        files: names of the files.
        places: (n, 2) int64: index into `files`, and the number of the row there.
        counted: what the number counts: "row", "line" or "" where a file is a row.
        groups: column name -> (n,) strings.
        columns: names of the features, where there are any.
        texts: (n,) raw texts, where there are any.
    """

    rows: NDArray[Any]
    labels: NDArray[Any] | None
    files: tuple[str, ...]
    places: NDArray[Any]
    counted: str
    groups: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, index: int) -> str:
        """Where a row came from, for a person."""
        file, number = self.places[index]
        return f"{self.files[file]}, {self.counted} {number}" if self.counted else self.files[file]

    def first(self, chosen: NDArray[Any]) -> int:
        """Of some rows the one that a person meets first."""
        return int(min(chosen.tolist(), key=lambda index: tuple(self.places[index])))

    def take(self, chosen: NDArray[Any]) -> Records:
        """The chosen rows, in the given order."""
        return replace(
            self,
            rows=self.rows[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            places=self.places[chosen],
            groups={name: values[chosen] for name, values in self.groups.items()},
            texts=tuple(self.texts[index] for index in chosen.tolist()) if self.texts else (),
        )

    def in_canonical_order(self) -> Records:
        """Ordered by content: neither the order of files nor that of rows decides what a split holds."""
        import numpy

        keys = self.content_keys()
        return self.take(numpy.array(sorted(range(len(self)), key=keys.__getitem__), dtype="int64"))

    def content_keys(self) -> list[bytes]:
        """A hash of every row with its label and groups."""
        keys = exact_keys(self.rows)
        extra = [*([self.labels] if self.labels is not None else []), *(self.groups[name] for name in self.groups)]
        return [
            hashlib.blake2b(key + repr([_plain(part[index]) for part in extra]).encode(), digest_size=16).digest()
            for index, key in enumerate(keys)
        ]


def digest_of(parts: Mapping[str, Records], *, vocabulary: Sequence[str] = ()) -> str:
    """The name of a content: the same for the same rows in any order of rows and files, written at any time.

    A vocabulary that came with the rows is part of it; one that is learned from them follows from them.
    """
    total = hashlib.sha256(repr(tuple(vocabulary)).encode() if vocabulary else b"")
    for name in sorted(parts):
        records = parts[name]
        head = [name, records.rows.dtype.str, list(records.rows.shape[1:]), records.columns, sorted(records.groups)]
        total.update(repr(head).encode())
        for key in sorted(records.content_keys()):
            total.update(key)
    return "sha256:" + total.hexdigest()


def exact_keys(rows: NDArray[Any]) -> list[bytes]:
    """A hash of every row."""
    if rows.dtype == object:
        return [_hash(repr(row).encode()) for row in rows]
    return [_hash(row.tobytes()) for row in rows]


def near_keys(rows: NDArray[Any], *, spread: NDArray[Any]) -> list[tuple[bytes, bytes]]:
    """Two keys of every row of numbers; rows that only differ by rounding share at least one of them.

    Values are counted in cells of a ten-thousandth of their column's spread. A grid that is moved by half a cell
    catches pairs that lie on both sides of a border of the other one.
    """
    import numpy

    cell = numpy.where(spread > 0, spread, 1.0) * _CELL
    keys: list[tuple[bytes, bytes]] = []
    for start in range(0, len(rows), _CHUNK):
        scaled = rows[start : start + _CHUNK].astype("float64") / cell
        grids = [numpy.floor(scaled + move) for move in (0.0, 0.5)]
        keys += [(_hash(a.tobytes()), _hash(b.tobytes())) for a, b in zip(*grids, strict=True)]
    return keys


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
