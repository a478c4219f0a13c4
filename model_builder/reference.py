"""The stable artifact that a build is measured against: a directory, or one that lies in a store."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from model_builder import artifact as artifacts
from model_builder import finished, pull
from model_builder.errors import BadSpec, BuildError
from model_builder.finished import Finished
from model_builder.progress import Reporter

#: Names it where the command line does not: a variable, since builders that do not know it yet must not mind it.
VARIABLE = "MODEL_BUILD_STABLE"


@dataclass(frozen=True)
class Place:
    """Where the stable artifact is.

    Attributes:
        directory: of an artifact that somebody laid there: it has to be there, and its clients are held to.
        uri: of an artifact in a store: it is compared with as far as it can be, and never fails a build.
        digest: of that one.
    """

    directory: Path | None = None
    uri: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Reference:
    """An artifact that was verified. One that is `required` fails the build where it can't be compared with."""

    artifact: Finished
    required: bool


def parse_place(text: str) -> Place:
    """A directory, or URI@DIGEST.

    Raises:
        BadSpec: a URI without a digest.
    """
    if "://" not in text:
        return Place(directory=Path(text))
    uri, _, digest = text.rpartition("@")
    if not uri:
        raise BadSpec(f"--stable is {text!r}, without a digest: write URI@sha256:DIGEST, or a directory")
    return Place(uri=uri, digest=artifacts.parse_digest(digest))


def read(place: Place) -> Reference | None:
    """Read the artifact of a directory; None where it is in a store.

    Raises:
        BuildError: there is no whole artifact.
    """
    return None if place.directory is None else Reference(artifact=finished.read(place.directory), required=True)


def fetch(place: Place, *, scratch: Path, reporter: Reporter) -> Reference | None:
    """Fetch the artifact of a store to `scratch` and verify it; None, with a note, if that can't be done."""
    try:
        scratch.mkdir(parents=True)
        pull.fetch(uri=place.uri, digest=place.digest, to=scratch, public_key=None, reporter=reporter)
        return Reference(artifact=finished.read(scratch), required=False)
    except (BuildError, OSError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        reporter.note(not_compared(place.digest, why=str(error)))
        return None


def not_compared(digest: str, *, why: str) -> str:
    """The note of a build that goes on without the stable artifact."""
    return f"nothing is compared with the stable artifact {digest[:19]}...: {why}"
