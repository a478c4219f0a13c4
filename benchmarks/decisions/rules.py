"""Who takes part, and how each is set up for a cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from benchmarks.decisions import argo, flagger, kayenta
from benchmarks.decisions.cells import Cell
from benchmarks.decisions.limits import Limit
from benchmarks.decisions.outcomes import Outcomes
from benchmarks.decisions.traffic import Traffic

OURS, FLAGGER, FLAGGER_TUNED, ARGO, KAYENTA = "ours", "Flagger", "Flagger tuned", "Argo tuned", "Kayenta"
RULES = (OURS, FLAGGER, FLAGGER_TUNED, ARGO, KAYENTA)
UNTUNED = (FLAGGER, KAYENTA)

_DEFAULT = Limit(errors=0.01), Limit(latency_ms=500.0)  # Flagger's documented examples
_HEADROOM = 1.15

Peer = Callable[[Traffic], Outcomes]


def tuned(cell: Cell) -> Limit:
    """Return the threshold of somebody who knows the truth: twice the true error ratio, or just above the true p99."""
    shape = cell.scenario.latency
    if shape is None:
        return Limit(errors=max(0.01, 2 * cell.scenario.error_ratio))
    p99 = shape.median * math.exp(2.3263478740408408 * shape.sigma)
    return Limit(latency_ms=_HEADROOM * p99)


def peers(cell: Cell, *, seed: int) -> Mapping[str, Peer]:
    """Return the other tools' rules for a cell, by name."""
    default, known = _DEFAULT[1 if cell.latency else 0], tuned(cell)
    return {
        FLAGGER: lambda traffic: flagger.run(traffic, limit=default, seed=seed),
        FLAGGER_TUNED: lambda traffic: flagger.run(traffic, limit=known, seed=seed),
        ARGO: lambda traffic: argo.run(traffic, limit=known, seed=seed),
        KAYENTA: lambda traffic: kayenta.run(traffic, latency=cell.latency, seed=seed),
    }
