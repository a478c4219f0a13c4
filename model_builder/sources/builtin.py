"""`builtin://NAME`: an untrained network that comes with the builder."""

from __future__ import annotations

from urllib.parse import urlsplit

from model_builder import architectures
from model_builder.decode import suggest
from model_builder.errors import BadSpec
from model_builder.sources.base import SourceModel


def check(uri: str) -> None:
    """Refuse an unknown network."""
    name = _name(uri)
    if name not in architectures.REGISTRY:
        raise BadSpec(f"spec.source.uri is {uri!r}; {suggest(name, architectures.REGISTRY)}")


def load(uri: str, *, seed: int) -> SourceModel:
    """A network with fresh weights."""
    import torch

    torch.manual_seed(seed)
    return SourceModel(architecture=architectures.REGISTRY[_name(uri)](), digest=None)


def _name(uri: str) -> str:
    parts = urlsplit(uri)
    return parts.netloc + parts.path
