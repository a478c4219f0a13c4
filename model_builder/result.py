"""The last word of a command: one JSON object on the last line, and in the container's termination message."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_builder.errors import BuildError

#: Kubernetes cuts a termination message at 4096 bytes; a cut object can't be read at all.
LIMIT = 4000
_MESSAGE_LIMIT = 1500


def failure(error: BuildError) -> dict[str, Any]:
    """The result of a command that failed."""
    message = " ".join(str(error).split())
    return {"error": {"reason": error.reason, "message": message[:_MESSAGE_LIMIT]}}


def encode(result: Mapping[str, Any]) -> str:
    """One line below the limit. What the manifest holds as well is left out first, and said to be."""
    text = json.dumps(result, separators=(",", ":"), allow_nan=False)
    trimmed = dict(result)
    for key in ("outputs", "inputs", "metrics"):
        if len(text.encode()) <= LIMIT:
            break
        if trimmed.pop(key, None) is not None:
            trimmed["omitted"] = [*trimmed.get("omitted", []), key]
        text = json.dumps(trimmed, separators=(",", ":"), allow_nan=False)
    return text


def emit(result: Mapping[str, Any], *, termination_log: Path | None) -> None:
    """Print the result, and hand it over to Kubernetes where asked to."""
    text = encode(result)
    if termination_log is not None:
        try:
            termination_log.write_text(text, encoding="utf-8")
        except OSError as error:
            # The line below still says everything, so that the work is not lost for want of a file.
            sys.stderr.write(f"the termination log {termination_log} can't be written: {error}\n")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
