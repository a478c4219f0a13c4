"""What a client may rely on: names, Triton datatypes and shapes of inputs and outputs. Standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from model_builder.errors import ArtifactCorrupt

#: Triton datatype on the wire -> data_type in config.pbtxt, where they differ by more than the prefix.
_CONFIG_TYPES = {"BYTES": "TYPE_STRING"}


@dataclass(frozen=True)
class Tensor:
    """One input or output. `shape` has no batch dimension where batching is possible; -1 is any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def config_type(self) -> str:
        """The datatype as config.pbtxt spells it."""
        return _CONFIG_TYPES.get(self.datatype, f"TYPE_{self.datatype}")

    def to_json(self) -> dict[str, Any]:
        """As it appears in contract.json and in the result."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True)
class Contract:
    """The interface of a model, and what a server needs to be able to run it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batchable: bool
    opset: int
    ir_version: int
    golden_sha256: str

    def dump(self) -> str:
        """Canonical text: the artifact's digest covers it, and through it the golden requests."""
        return canonical_json(
            {
                "schemaVersion": 1,
                "inputs": [tensor.to_json() for tensor in self.inputs],
                "outputs": [tensor.to_json() for tensor in self.outputs],
                "batchable": self.batchable,
                "onnx": {"opset": self.opset, "irVersion": self.ir_version},
                "golden": {"path": "golden.json", "sha256": self.golden_sha256},
            }
        )


def parse_contract(text: str) -> Contract:
    """Read contract.json of an artifact."""
    try:
        raw = json.loads(text)
        return Contract(
            inputs=tuple(_tensor(entry) for entry in raw["inputs"]),
            outputs=tuple(_tensor(entry) for entry in raw["outputs"]),
            batchable=bool(raw["batchable"]),
            opset=int(raw["onnx"]["opset"]),
            ir_version=int(raw["onnx"]["irVersion"]),
            golden_sha256=str(raw["golden"]["sha256"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactCorrupt(f"contract.json of the artifact is not readable ({error!r}): build it again") from error


def canonical_json(value: object) -> str:
    """One text per value: sorted keys, fixed layout, a newline at the end."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _tensor(raw: dict[str, Any]) -> Tensor:
    return Tensor(name=str(raw["name"]), datatype=str(raw["datatype"]), shape=tuple(int(size) for size in raw["shape"]))
