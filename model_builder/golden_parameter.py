"""Carries the golden requests to whoever asks the server: in a parameter of config.pbtxt. Standard library only.

The operator has no access to the artifact, and a server that answers has its configuration to show. Golden
requests that are too large for that are left out, the largest first, and the parameter says how many.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from model_builder.errors import ArtifactCorrupt

#: The parameter of config.pbtxt, and the bounds of its value: the operator refuses what is larger.
PARAMETER = "modelrelease.golden"
MOST_CHARACTERS = 512 * 1024
MOST_BYTES = 8 * 1024 * 1024
MOST_REQUESTS = 64


def pack(golden: str) -> str:
    """The parameter's value: base64 of the zlib-compressed JSON of as many requests as fit, the smallest first."""
    try:
        whole = json.loads(golden)
        requests = sorted(whole["requests"], key=_values)
        same: dict[str, Any] = {"absoluteTolerance": float(whole["absoluteTolerance"])}
        if "labels" in whole:
            same["labels"] = whole["labels"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactCorrupt(f"golden.json of the artifact is not readable ({error!r}): build it again") from error
    value = _encode(requests=[], same=same, left_out=len(requests))
    for count in range(1, min(len(requests), MOST_REQUESTS) + 1):
        larger = _encode(requests=requests[:count], same=same, left_out=len(requests) - count)
        if larger is None:
            break
        value = larger
    assert value is not None, "no requests at all always fit"
    return value


def _encode(*, requests: list[Any], same: Mapping[str, Any], left_out: int) -> str | None:
    """The value, or None where it is too large; `same` is what does not depend on how many requests fit."""
    envelope = {"schemaVersion": 1, **same, "leftOut": left_out, "requests": requests}
    raw = json.dumps(envelope, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    if len(raw) > MOST_BYTES:
        return None
    value = base64.b64encode(zlib.compress(raw, level=9)).decode()
    return value if len(value) <= MOST_CHARACTERS else None


def _values(case: Any) -> int:
    tensors = [*case["request"]["inputs"], *case["response"]["outputs"]]
    return sum(len(tensor["data"]) for tensor in tensors)
