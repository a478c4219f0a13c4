"""Flagger 1.44's canary analysis, as its controller behaves.

Each interval is one tick. A tick first rolls back if enough checks have failed so far (the
count is never reset within a release); else, where the canary has traffic, it checks the last
minute's metrics; a failed check, no data included, halts the weight for this tick; a passed
one raises it by the step, or promotes at the highest weight. So a rollback comes one interval
after the check that made the count full.
"""

from __future__ import annotations

import numpy

from benchmarks.decisions.limits import Limit, exceeded
from benchmarks.decisions.outcomes import Ledger, Outcomes
from benchmarks.decisions.traffic import Sample, Traffic, thin

INTERVAL = 60.0
THRESHOLD = 5
STEP, HIGHEST = 0.05, 0.50


def run(traffic: Traffic, *, limit: Limit, seed: int) -> Outcomes:
    """Return how the runs end with a fixed limit (Flagger's documented default is 1 % errors, 500 ms at p99)."""
    rng, ledger = numpy.random.default_rng(seed), Ledger(traffic)
    every = round(INTERVAL / traffic.scrape)
    weight = numpy.full(traffic.replications, STEP)  # the first tick only starts the analysis
    failed = numpy.zeros(traffic.replications, dtype=int)
    for first in range(0, traffic.scrapes - every + 1, every):
        last = first + every
        ledger.serve(slice(first, last), weight)
        cells = thin(traffic.candidate, scrape=slice(first, last), weight=weight, rng=rng)
        minute = Sample(*(part.sum(axis=0) for part in (cells.requests, cells.failures, cells.within)))
        full = failed >= THRESHOLD
        over, known = exceeded(limit, minute, bounds=traffic.bounds)
        good = known & ~over & ~full
        top = weight >= HIGHEST - 1e-9
        ledger.end(promote=good & top, roll_back=full, scrape=last)
        failed += (~good & ~full).astype(int)
        weight = numpy.where(good & ~top, weight + STEP, weight)
    ledger.serve(slice(last, None), weight)
    return ledger.outcomes()
