"""Who takes part, and how each is set up for a cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy

from benchmarks.decisions import argo, flagger, kayenta
from benchmarks.decisions.cells import Cell
from benchmarks.decisions.limits import Limit, quantile
from benchmarks.decisions.outcomes import Outcomes
from benchmarks.decisions.traffic import Traffic

OURS, FLAGGER, FLAGGER_TUNED, ARGO, KAYENTA = "ours", "Flagger", "Flagger tuned", "Argo tuned", "Kayenta"
RULES = (OURS, FLAGGER, FLAGGER_TUNED, ARGO, KAYENTA)
UNTUNED = (FLAGGER, KAYENTA)

_DEFAULT = Limit(errors=0.01), Limit(latency_ms=500.0)  # Flagger's documented examples
_HEADROOM = 1.15
_MANY = 10**9

Peer = Callable[[Traffic], Outcomes]


def tuned(cell: Cell) -> Limit:
    """Return the threshold of somebody who knows the truth: twice the true error ratio, or just above the p99 shown."""
    shape = cell.scenario.latency
    if shape is None:
        return Limit(errors=max(0.01, 2 * cell.scenario.error_ratio))
    # What the metric shows of the truth: a quantile interpolated between the bounds of buckets.
    ranks = (math.log(bound / shape.median) / shape.sigma for bound in shape.bounds)
    within = numpy.array([round(_MANY * 0.5 * math.erfc(-rank / math.sqrt(2.0))) for rank in ranks])
    shown = quantile(within, requests=numpy.array(_MANY), bounds=shape.bounds, level=0.99)
    return Limit(latency_ms=_HEADROOM * float(shown))


def peers(cell: Cell, *, seed: int) -> Mapping[str, Peer]:
    """Return the other tools' rules for a cell, by name."""
    default, known = _DEFAULT[1 if cell.latency else 0], tuned(cell)
    return {
        FLAGGER: lambda traffic: flagger.run(traffic, limit=default, seed=seed),
        FLAGGER_TUNED: lambda traffic: flagger.run(traffic, limit=known, seed=seed),
        ARGO: lambda traffic: argo.run(traffic, limit=known, seed=seed),
        KAYENTA: lambda traffic: kayenta.run(traffic, latency=cell.latency, seed=seed),
    }
