"""What a client may rely on: names, Triton datatypes and shapes of inputs and outputs. Standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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


class Promises(Protocol):
    """What of a contract or of a graph is a client's business."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a request holds."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What an answer holds."""

    @property
    def batchable(self) -> bool:
        """Whether requests may hold any number of rows."""


class Interface(NamedTuple):
    """What a graph promises."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batchable: bool


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


def differences(before: Promises, after: Promises) -> list[str]:
    """How two interfaces differ, one sentence per tensor; none if a client notices nothing."""
    told: list[str] = []
    for kind in ("inputs", "outputs"):
        left, right = ({tensor.name: tensor for tensor in getattr(side, kind)} for side in (before, after))
        changed = (name for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name))
        told += [f"{kind[:-1]} {n!r} was {_shown(left.get(n))} and is {_shown(right.get(n))}" for n in changed]
    if before.batchable and not after.batchable:
        told.append("requests could be batched and can't any more")
    return told


def broken(before: Promises, after: Promises) -> list[str]:
    """Those of the differences that break a client of `before`: a further output harms nobody."""
    known = {tensor.name for tensor in before.outputs}
    further = [tensor for tensor in after.outputs if tensor.name not in known]
    kept = tuple(tensor for tensor in after.outputs if tensor not in further)
    return differences(before, Interface(inputs=after.inputs, outputs=kept, batchable=after.batchable))


def _shown(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tensor.datatype} {list(tensor.shape)}"


def canonical_json(value: object) -> str:
    """One text per value: sorted keys, fixed layout, a newline at the end."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _tensor(raw: dict[str, Any]) -> Tensor:
    return Tensor(name=str(raw["name"]), datatype=str(raw["datatype"]), shape=tuple(int(size) for size in raw["shape"]))
