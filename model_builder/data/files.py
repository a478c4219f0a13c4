"""Data from files: fetches each part, reads it in its format, and joins what several files hold."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model_builder import remote
from model_builder.data.parameters import VOCABULARY, Data
from model_builder.data.prepare import prepare
from model_builder.data.records import Records
from model_builder.data.text import Tokens
from model_builder.errors import BadData
from model_builder.remote import archive

if TYPE_CHECKING:
    from model_builder.data.base import Dataset

#: Format -> module, function, suffixes of the files that a folder may hold (none: the folder is read as a whole).
_READERS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "Arrays": ("arrays", "read", (".npz",)),
    "Csv": ("tables", "read_csv", (".csv",)),
    "Parquet": ("tables", "read_parquet", (".parquet",)),
    "Images": ("images", "read", ()),
    "JsonLines": ("text", "read", (".jsonl", ".ndjson", ".json")),
}
_ROLE = {"all": "uri", "unlabelled": "unlabelled", VOCABULARY: "text.vocabularyUri"}


def check(data: Data, *, where: str) -> None:
    """Refuse URIs that nothing can read."""
    for part, uri in data.uris.items():
        remote.check(uri, where=f"{where}.{_ROLE.get(part, f'splits.{part}')}")


def load(data: Data, *, workspace: Path) -> Dataset:
    """Fetch into the workspace, read, clean, split."""
    uris = data.uris
    given = uris.pop(VOCABULARY, None)
    parts = {name: _read(name, uri, data=data, workspace=workspace) for name, uri in uris.items()}
    if given is None:
        return prepare(parts, data=data)
    path = _fetch(VOCABULARY, given, data=data, folder=workspace / "data" / VOCABULARY)
    return prepare(parts, data=data, known=Tokens.read(path, name=given, parameters=data.text))


def _fetch(part: str, uri: str, *, data: Data, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    where = f"spec.data.{_ROLE.get(part, f'splits.{part}')}"
    return remote.fetch(uri, to=folder / "fetched", limit=data.max_bytes, where=where)


def _read(part: str, uri: str, *, data: Data, workspace: Path) -> Records:
    folder = workspace / "data" / part
    path = _fetch(part, uri, data=data, folder=folder)
    module, function, suffixes = _READERS[data.format]
    read: Callable[..., Records] = getattr(importlib.import_module(f"model_builder.data.{module}"), function)
    if not suffixes and path.is_file() and uri.endswith(archive.SUFFIXES):
        path = archive.unpack(path, to=folder / "unpacked", name=uri, limit=data.max_bytes)
    files = [path] if path.is_file() or not suffixes else _files_of(path, uri=uri, suffixes=suffixes)
    records = [
        read(file, name=uri if file == path else f"{uri}/{file.name}", data=data, labelled=part != "unlabelled")
        for file in files
    ]
    return _joined(records).in_canonical_order()


def _files_of(folder: Path, *, uri: str, suffixes: tuple[str, ...]) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.endswith(suffixes))
    if not files:
        raise BadData(f"the folder {uri} has no file that ends with {' or '.join(suffixes)}: check the path")
    return files


def _joined(parts: list[Records]) -> Records:
    import numpy

    first = parts[0]
    for part in parts[1:]:
        if part.columns != first.columns or part.rows.shape[1:] != first.rows.shape[1:]:
            raise BadData(f"{part.files[0]} has other columns than {first.files[0]}: give all files the same ones")
        if part.rows.dtype != first.rows.dtype:
            raise BadData(f"{part.files[0]} has {part.rows.dtype}, {first.files[0]} {first.rows.dtype}: use one type")
    if len(parts) == 1:
        return first
    starts = numpy.cumsum([0, *(len(part.files) for part in parts)])
    places = [part.places + numpy.array([start, 0]) for part, start in zip(parts, starts, strict=False)]
    return dataclasses.replace(
        first,
        rows=numpy.concatenate([part.rows for part in parts]),
        labels=None if first.labels is None else numpy.concatenate([part.labels for part in parts]),
        files=tuple(file for part in parts for file in part.files),
        places=numpy.concatenate(places),
        groups={name: numpy.concatenate([part.groups[name] for part in parts]) for name in first.groups},
        texts=tuple(text for part in parts for text in part.texts),
    )
