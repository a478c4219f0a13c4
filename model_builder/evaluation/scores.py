"""What scoring one model on one split gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model_builder.evidence import Evidence, metric
from model_builder.metrics import Metric


@dataclass(frozen=True)
class Scores:
    """Of one model.

    Attributes:
        metrics: those of the whole split.
        parts: those of one class each, as `NAME:CLASS`.
        tables: plain data for the report and its pictures.
    """

    metrics: dict[str, Metric]
    parts: dict[str, Metric] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)


def metrics_of(evidence: Mapping[str, Evidence], *, rows: int | None = None) -> dict[str, Metric]:
    """Metrics with bounds; what can't be computed (no rows of a class) is left out, so that a gate on it fails."""
    return {name: metric(found, rows=rows) for name, found in evidence.items() if math.isfinite(found.value)}
