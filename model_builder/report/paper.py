"""What the commands that write about an artifact have in common: what they ask for, and where the text goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_builder import finished
from model_builder.errors import ArtifactCorrupt, BadSpec, StorageError
from model_builder.finished import Finished


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("artifact", type=Path, help="directory of an artifact")
    parser.add_argument("--out", type=Path, help="write it there, outside the artifact (default: standard output)")


def write(options: argparse.Namespace, *, render: Callable[[Finished], str]) -> dict[str, Any] | None:
    """Verify the artifact, and write what `render` says of it.

    Returns:
        what was written where; None if it went to standard output, where nothing else may be then.

    Raises:
        BadSpec: there is no artifact, or the file is to be written into it.
        ArtifactCorrupt: a file of it is not what its manifest says, or the manifest lacks what was to be told.
        StorageError: the file can't be written.
    """
    artifact: Finished = finished.read(options.artifact)
    text = told(artifact, render=render)
    if options.out is None:
        sys.stdout.write(text)
        return None
    if options.out.resolve().is_relative_to(artifact.directory.resolve()):
        raise BadSpec(f"--out {options.out} is inside the artifact, which is never changed: give another place")
    content = text.encode()
    try:
        options.out.write_bytes(content)
    except OSError as error:
        raise StorageError(f"--out {options.out} can't be written: {error}", reason="StoreDenied") from error
    return {"digest": artifact.digest, "file": str(options.out), "bytes": len(content)}


def told(artifact: Finished, *, render: Callable[[Finished], str]) -> str:
    """The text, or ArtifactCorrupt where the manifest is whole but is not one that this version writes."""
    try:
        return render(artifact)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ArtifactCorrupt(
            f"manifest.json of {artifact.directory} lacks what is to be told ({error!r}): it is of another version of "
            "the builder; build the artifact again"
        ) from error
