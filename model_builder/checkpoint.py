"""The unfinished state of a pass on disk, for a build that was killed.

A checkpoint's name holds its number and the sha256 of its content, and it appears by a rename: half a file, or one with
a flipped byte, is no checkpoint. Only tensors and plain values are stored, and nothing else is ever loaded.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from pathlib import Path
from typing import Any

from model_builder.artifact import hash_file

_NAME = re.compile(r"(\d{9})-([0-9a-f]{64})\.pt")


def save(folder: Path, *, number: int, state: dict[str, Any]) -> None:
    """Keep a state of tensors, numbers, strings, lists and dicts; older ones go.

    A disk that can't take it costs what a later interruption loses, and no more.
    """
    import torch

    temporary = folder / f".tmp-{uuid.uuid4().hex}"
    try:
        with temporary.open("wb") as stream:  # given a path, torch has its own mind about names
            torch.save(state, stream)
        final = folder / f"{number:09d}-{hash_file(temporary)}.pt"
        temporary.rename(final)
    except (OSError, RuntimeError):  # RuntimeError: torch's own, on top of the other
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        return
    for path in folder.iterdir():
        if path != final:
            path.unlink(missing_ok=True)


def load(folder: Path) -> dict[str, Any] | None:
    """The newest whole state, or None."""
    import torch

    for path in sorted(folder.iterdir(), reverse=True):
        named = _NAME.fullmatch(path.name)
        if named and hash_file(path) == named[2]:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    return None
