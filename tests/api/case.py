"""One object that the API must accept or refuse: the minimal sample with a change."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "manifests" / "samples"
#: Parts of addresses.
COMMIT, DIGEST = "0123456789" * 4, "sha256:" + "0123abcd" * 8
ABSENT = object()  # as a value: take the field away


@dataclass(frozen=True)
class Case:
    """One object. `says` is part of the refusal; None: accepted. `offline`: lint finds it without a cluster."""

    id: str
    change: Mapping[str, Any]
    says: str | None = None
    offline: bool = True

    def object(self) -> dict[str, Any]:
        """The minimal sample with the change."""
        return changed(minimal(), self.change)


def minimal() -> dict[str, Any]:
    return dict(yaml.safe_load((SAMPLES / "digits-minimal.yaml").read_text()))


def changed(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The object with each dotted path set to its value."""
    result = copy.deepcopy(dict(base))
    for path, value in change.items():
        *parents, last = path.split(".")
        node = result
        for part in parents:
            node = node.setdefault(part, {})
        if value is ABSENT:
            node.pop(last, None)
        else:
            node[last] = value
    return result
