"""Where bytes come from: scheme -> how a file or a folder is fetched. Models and data sets share it.

Nothing of it is imported before a URI asks for it: whoever reads a mounted volume needs no client of any store.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from model_builder.decode import suggest
from model_builder.errors import BadSpec

#: The module of each scheme; it has the functions of `Scheme`.
MODULES: Mapping[str, str] = {
    "file": "local",
    "s3": "objects",
    "gs": "objects",
    "az": "objects",
    "hf": "hub",
    "mlflow": "registry",
    "oci": "oci",
}


class Scheme(Protocol):
    """What a module of this package offers."""

    def check(self, uri: str, *, where: str) -> None:
        """Refuse a URI that can't be meant, without asking anybody."""

    def identity(self, uri: str) -> Any:
        """What changes whenever the content does, as JSON, without fetching it; None where nobody tells."""

    def fetch(self, uri: str, *, to: Path, limit: int) -> Path:
        """Make a file or a folder of at most `limit` bytes appear whole, at `to` or where it is already."""


def check(uri: str, *, where: str) -> None:
    """Refuse a URI that nothing can read. BadSpec."""
    _scheme(uri, where=where).check(uri, where=where)


def identity(uri: str, *, where: str) -> Any:
    """What changes whenever what a URI names does: a hash, or marks that a store keeps. A JSON value.

    None where nothing is there, or nobody tells: only fetching does then. StorageError if the place can't be asked.
    """
    scheme = _scheme(uri, where=where)
    scheme.check(uri, where=where)
    return scheme.identity(uri)


def fetch(uri: str, *, to: Path, limit: int, where: str) -> Path:
    """The file or folder that a URI names. BadData if what is there can't be used, StorageError if it can't be had."""
    scheme = _scheme(uri, where=where)
    scheme.check(uri, where=where)
    return scheme.fetch(uri, to=to, limit=limit)


def _scheme(uri: str, *, where: str) -> Scheme:
    name = urlsplit(uri).scheme
    if name not in MODULES:
        raise BadSpec(f"{where} is {uri!r}; schemes: {suggest(name, MODULES)} (a mounted volume is file:///path)")
    return cast(Scheme, importlib.import_module(f"{__name__}.{MODULES[name]}"))
