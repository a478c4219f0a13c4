"""Where a model comes from: scheme -> loader. A new source is a new file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from model_builder.decode import suggest
from model_builder.errors import BadSpec
from model_builder.sources import builtin, weights

if TYPE_CHECKING:
    from model_builder.sources.base import SourceModel

REGISTRY: Mapping[str, Callable[..., SourceModel]] = {
    "builtin": builtin.load,
    "file": weights.load_file,
    "s3": weights.load_s3,
}


def check(uri: str) -> None:
    """Refuse a URI that no source can read, before anything is fetched."""
    parts = urlsplit(uri)
    if parts.scheme not in REGISTRY:
        raise BadSpec(f"spec.source.uri is {uri!r}; schemes: {suggest(parts.scheme, REGISTRY)}")
    if parts.scheme == "builtin":
        builtin.check(uri)
    elif not parts.path.endswith(".safetensors"):
        raise BadSpec(f"spec.source.uri is {uri!r}; weights must be a .safetensors file (pickled ones can run code)")


def load(*, uri: str, architecture: str, seed: int, workspace: Path) -> SourceModel:
    """The source model, ready for the first pass."""
    return REGISTRY[urlsplit(uri).scheme](uri=uri, architecture=architecture, seed=seed, workspace=workspace)
