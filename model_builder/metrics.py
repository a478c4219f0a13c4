"""The metrics a build reports: their names, their direction, and the value of each with the rows behind it.

`NAME.source` is the same metric of the float model, before the first pass that works on the exported graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: metric -> (higher is better, what it is)
METRICS: Mapping[str, tuple[bool, str]] = {
    "accuracy": (True, "share of test rows whose most probable class is the label"),
    "worstClassRecall": (True, "recall of the class that is recognised least often on the test rows"),
    "agreement": (True, "share of test rows on which the final model names the same class as the float model"),
    "sizeBytes": (False, "size of model.onnx"),
    "latencyP50Ms": (False, "median time of one row in ONNX Runtime on one CPU thread, in milliseconds"),
}
SOURCE_SUFFIX = ".source"


@dataclass(frozen=True)
class Metric:
    """One measured value; `rows` where it was measured on rows of the test split."""

    value: float
    rows: int | None = None

    def to_json(self) -> dict[str, float | int]:
        """As it appears in the result and in the manifest."""
        plain: dict[str, float | int] = {"value": self.value}
        return plain if self.rows is None else plain | {"rows": self.rows}
