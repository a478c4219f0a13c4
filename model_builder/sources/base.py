"""What a source hands over."""

from __future__ import annotations

from dataclasses import dataclass

from model_builder.architectures.base import Architecture


@dataclass(frozen=True)
class SourceModel:
    """A network with its weights; `digest` is None where there is no file of weights."""

    architecture: Architecture
    digest: str | None
