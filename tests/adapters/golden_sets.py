"""Golden requests for the models of `models`, as an artifact has them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_builder.golden_parameter import PARAMETER, pack

TOLERANCE = 1e-3


def tensor(name: str, values: NDArray[Any], datatype: str = "FP32") -> dict[str, Any]:
    """Return a tensor in the form of Triton's JSON."""
    return {"name": name, "datatype": datatype, "shape": list(values.shape), "data": values.ravel().tolist()}


def case(level: float, *, rows: int = 1) -> dict[str, Any]:
    """Return a request with an image of one level; the right answer is that level, ten times."""
    image, scores = np.full((rows, 8, 8), level), np.full((rows, 10), level)
    return {"request": {"inputs": [tensor("image", image)]}, "response": {"outputs": [tensor("scores", scores)]}}


def labelled(split: str, *cases: tuple[float, int]) -> dict[str, Any]:
    """Return a set of which each level has a class that is right."""
    made = [{**case(level), "labels": [right]} for level, right in cases]
    return document(*made, labels={"kind": "class", "split": split})


def document(*cases: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return golden.json as an object."""
    made = cases or (case(1.0), case(2.0), case(3.0, rows=4))
    return {"schemaVersion": 1, "absoluteTolerance": TOLERANCE, "requests": list(made), **changes}


def packed(*cases: dict[str, Any]) -> str:
    """Return the value of the parameter."""
    return pack(json.dumps(document(*cases)))


def carrying(value: str, *, revision: str = "") -> str:
    """Return the lines of config.pbtxt that carry a golden set, and the revision that answers."""
    lines = [f'parameters {{ key: "{PARAMETER}" value {{ string_value: "{value}" }} }}']
    if revision:
        lines.append(f'metric_tags {{ key: "revision" value: "{revision}" }}')
    return "\n".join(lines)
