"""`builtin://NAME`: an untrained network that comes with the builder."""

from __future__ import annotations

from urllib.parse import urlsplit

from model_builder import architectures
from model_builder.decode import suggest
from model_builder.errors import BadSpec
from model_builder.sources.base import NO_PARAMETERS, Parameters, SourceModel, WantedEnds


def check(uri: str) -> None:
    """Refuse an unknown network."""
    if name_of(uri) not in architectures.REGISTRY:
        raise BadSpec(f"spec.source.uri is {uri!r}; {suggest(name_of(uri), architectures.REGISTRY)}")


def load(uri: str, *, seed: int, parameters: Parameters = NO_PARAMETERS, ends: WantedEnds | None = None) -> SourceModel:
    """A network with fresh weights."""
    import torch

    torch.manual_seed(seed)
    return SourceModel(architecture=architectures.make(name_of(uri), parameters=parameters, ends=ends), digest=None)


def name_of(uri: str) -> str:
    """The name of the network."""
    parts = urlsplit(uri)
    return parts.netloc + parts.path
