"""What a store does. Artifacts in it have content-addressed names and never change."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from model_builder import artifact as artifacts
from model_builder import signing
from model_builder.errors import ArtifactCorrupt

#: Two pushes with different keys would otherwise contend without end.
_TRIES = 3
#: Characters of a signer's name that tell it from the others of one artifact.
_SIGNER = 16


class Store(Protocol):
    """A place for artifacts under one URI."""

    def check(self) -> None:
        """Fail now rather than after an hour of training if the store can't be used."""

    def put(self, *, artifact: Path, digest: str) -> str:
        """Store an artifact, whole or not at all; one that is there is left alone. Return its URI.

        All that changes one that is there is a signature, see `settle`.
        """

    def has(self, path: str) -> bool:
        """Whether the artifact at this URI has this file."""

    def fetch(self, *, path: str, to: Path) -> None:
        """Copy one file of the artifact at this URI."""


def name_in_store(artifact: Path, *, digest: str, at: Callable[[str], Store]) -> str:
    """Return the name of an artifact in a store; `at` opens what has a name there.

    What one key signed is not taken over by another: pods that trust the first key alone still start from it. The
    second gets a place of its own beside it, so that only the first pushes of two keys at one moment can meet.
    """
    name, own = artifacts.folder_name(digest), artifact / artifacts.SIGNATURE
    ours = signing.claim(own) if own.is_file() else None
    if ours is None:
        return name
    try:
        theirs = _claim(at(name))
    except ArtifactCorrupt:
        return name  # damaged: it is put right
    return name if theirs is None or theirs.signer == ours.signer else f"{name}-{ours.signer[:_SIGNER]}"


def _claim(stored: Store) -> signing.Claim | None:
    """What the signature in a store says, None if there is none that says anything."""
    if not stored.has(artifacts.SIGNATURE):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        signature = Path(scratch) / artifacts.SIGNATURE
        stored.fetch(path=artifacts.SIGNATURE, to=signature)
        return signing.claim(signature)


def settle(artifact: Path, *, stored: Store, tell: Callable[[], None]) -> None:
    """See that manifest and signature in a store belong together; `tell` puts those of the artifact there.

    Asked again after each time: another push may have done the same at this moment, and left one of each.
    """
    for _ in range(_TRIES):
        if not supersedes(artifact, stored=stored):
            return
        tell()


def supersedes(artifact: Path, *, stored: Store) -> bool:
    """Whether manifest and signature of an artifact belong in the place of those of the same artifact in a store.

    The manifest tells the moment of its build, so that a signature of one build fits no other: both go together. They
    go where the stored one is unsigned, signed with another key, or signed for something else than is there. What the
    same key signed stays, so that nobody who reads it meanwhile gets halves of two builds.
    """
    ours = artifact / artifacts.SIGNATURE
    if not ours.is_file():
        return False
    if not stored.has(artifacts.SIGNATURE):
        return True
    with tempfile.TemporaryDirectory() as scratch:
        theirs, manifest = Path(scratch) / artifacts.SIGNATURE, Path(scratch) / artifacts.MANIFEST
        stored.fetch(path=artifacts.SIGNATURE, to=theirs)
        stored.fetch(path=artifacts.MANIFEST, to=manifest)
        found = artifacts.hash_file(manifest)
        if found == artifacts.hash_file(artifact / artifacts.MANIFEST):
            return theirs.read_bytes() != ours.read_bytes()
        old, new = signing.claim(theirs), signing.claim(ours)
    assert new is not None, "whoever made it read it back"
    expected = {**new.files, artifacts.MANIFEST: found}
    return old is None or old.signer != new.signer or old.files != expected
