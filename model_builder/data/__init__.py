"""Data sets: those that come with the builder, and those in files. A new format is a new reader and a line there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model_builder.data import builtin, files, parameters
from model_builder.data.parameters import Data

if TYPE_CHECKING:
    from model_builder.data.base import Dataset

__all__ = ["REGISTRY", "Data", "check", "load"]


def check(data: Data, *, where: str = "spec.data") -> None:
    """Refuse a `data` section that can't be meant. BadSpec."""
    parameters.check(data, builtin=tuple(builtin.LOADERS), where=where)
    files.check(data, where=where)


def load(data: Data, *, workspace: Path) -> Dataset:
    """The data set that the section describes. BadData if it can't be used, StorageError if it can't be had."""
    return builtin.load(data) if data.format == "Builtin" else files.load(data, workspace=workspace)


def _builtin(name: str, seed: int) -> Dataset:
    return builtin.load(Data(name=name, seed=seed))


REGISTRY: Mapping[str, Callable[[int], Dataset]] = {name: functools.partial(_builtin, name) for name in builtin.LOADERS}
