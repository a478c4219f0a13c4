"""Argo Rollouts 1.9 with an inline analysis after each setWeight.

The analysis takes ten measurements, one a minute, of the last minute's metric; more than
`failureLimit` failed ones abort the rollout. A measurement without data passes: that is the
guard against empty results which its documentation shows, and without which a quiet minute
would count as a failure.
"""

from __future__ import annotations

import numpy

from benchmarks.decisions.limits import Limit, exceeded
from benchmarks.decisions.outcomes import Ledger, Outcomes
from benchmarks.decisions.traffic import Sample, Traffic, thin

INTERVAL = 60.0
COUNT, FAILURE_LIMIT = 10, 3
LADDER = (0.05, 0.10, 0.25, 0.50)


def run(traffic: Traffic, *, limit: Limit, seed: int) -> Outcomes:
    """Return how the runs end with a fixed limit."""
    rng, ledger = numpy.random.default_rng(seed), Ledger(traffic)
    every = round(INTERVAL / traffic.scrape)
    last = 0
    for step, weight in enumerate(LADDER):
        share = numpy.full(traffic.replications, weight)
        failed = numpy.zeros(traffic.replications, dtype=int)
        for measurement in range(COUNT):
            first, last = last, last + every
            ledger.serve(slice(first, last), share)
            cells = thin(traffic.candidate, scrape=slice(first, last), weight=share, rng=rng)
            minute = Sample(*(part.sum(axis=0) for part in (cells.requests, cells.failures, cells.within)))
            over, _ = exceeded(limit, minute, bounds=traffic.bounds)
            failed += over.astype(int)
            aborted = failed > FAILURE_LIMIT
            done = step == len(LADDER) - 1 and measurement == COUNT - 1
            ledger.end(promote=~aborted & done, roll_back=aborted, scrape=last)
    ledger.serve(slice(last, None), share)
    return ledger.outcomes()
