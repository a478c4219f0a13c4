"""What a place to write to does. Each may raise anything: the recorder then leaves it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Told:
    """A finished build in plain words and numbers.

    Attributes:
        digest: of the artifact.
        parameters: what it was built from: source, data, seed and every step's parameters.
        metrics: those of whole models.
        gates: metric -> verdict and the sentence that explains it.
    """

    digest: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    gates: Mapping[str, str]


class Sink(Protocol):
    """One place."""

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """Write numbers of one epoch, or of whatever the phase counts."""

    def finished(self, told: Told) -> None:
        """Write what came out; gates may have failed."""

    def close(self, *, failure: str | None) -> None:
        """Write what is left; with a failure, that the build has no result and why."""
