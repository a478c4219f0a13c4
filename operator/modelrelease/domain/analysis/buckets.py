"""Which bounds of a latency histogram are tested, chosen from stable's traffic before the candidate has any.

Nothing is interpolated: a quantile is only known to lie within a bucket, shares beyond a bound are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from modelrelease.domain.analysis.metrics import MOST
from modelrelease.domain.counts import Arm
from modelrelease.domain.policy import Latency

QUANTILES = (0.9, 0.99)
LEAST_REQUESTS = 200.0  # of stable, before its quantiles are read off
_ROUNDING = 1e-9


def total(arms: Iterable[Arm]) -> dict[float, float]:
    """Return the cumulative counts of several arms by bound; the infinite bound has all requests."""
    within: dict[float, float] = {}
    for arm in arms:
        for bound, count in arm.latency:
            if 0 <= count <= MOST and not math.isnan(bound):
                within[bound] = within.get(bound, 0.0) + count
    return within


def freeze(latency: Latency, arms: Iterable[Arm]) -> tuple[float, ...]:
    """Return the bounds to test, rising: the objective rounded up to a bucket, else stable's p90 and p99.

    None where the histogram has too few requests, or none of its finite bounds is that high.
    """
    within = total(arms)
    everything = max(within.values(), default=0.0)
    finite = sorted(bound for bound in within if math.isfinite(bound))
    if latency.objective is not None:
        wanted = 1000.0 * latency.objective
        above = [bound for bound in finite if bound >= wanted * (1.0 - _ROUNDING)]
        return (above[0],) if above else ()
    if everything < LEAST_REQUESTS:
        return ()
    found = set()
    for quantile in QUANTILES:
        enough = [bound for bound in finite if within[bound] >= quantile * everything * (1.0 - _ROUNDING)]
        found.update(enough[:1])
    return tuple(sorted(found))
