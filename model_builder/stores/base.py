"""What a store does. Artifacts in it have content-addressed names and never change."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """A place for artifacts under one URI."""

    def check(self) -> None:
        """Fail now rather than after an hour of training if the store can't be used."""

    def put(self, *, artifact: Path, digest: str) -> str:
        """Store an artifact, whole or not at all; one that is there is left alone. Return its URI."""

    def fetch(self, *, path: str, to: Path) -> None:
        """Copy one file of the artifact at this URI."""
