"""Latency histograms as the gateway counts them: how many requests took at most this long.

A quantile is only known to lie within a bucket. Nothing is interpolated: what is compared
are counts beyond bucket bounds, which are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import truediv

# Bounds and shares are decimal numbers in binary: 1.1 * 50 must still be within a bound of 55.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Histogram:
    """`within` has, by upper bound in ms, how many requests took at most that long."""

    within: Mapping[float, float]
    total: float

    def beyond(self, bound: float) -> float:
        """Return how many requests took longer than one of the bounds."""
        return self.total - self.within[bound]

    def quantile(
        self, tail: float, *, bounds: Iterable[float], ratio: Callable[[float, float], float] = truediv
    ) -> float | None:
        """Return the lowest of the (rising) bounds that no more than the `tail` of the requests exceeds.

        `ratio` makes the share out of the requests beyond and all requests: the plain one,
        or a confidence bound of it. None if more exceed even the highest bound.
        """
        allowed = tail * (1 + _ROUNDING)
        return next((bound for bound in bounds if ratio(self.beyond(bound), self.total) <= allowed), None)


def read(buckets: Iterable[tuple[float, float]]) -> Histogram | None:
    """Return the histogram of (upper bound, cumulative count) pairs; None if they are no histogram.

    The infinite bound, where present, only tells the total. A count below the one of a
    smaller bound is raised to it: buckets of one scrape may be written at slightly
    different moments.
    """
    pairs = tuple(buckets)
    if any(math.isnan(bound) or not math.isfinite(count) or count < 0 for bound, count in pairs):
        return None
    within: dict[float, float] = {}
    total = 0.0
    for bound, count in sorted(pairs):
        total = max(total, count)
        if math.isfinite(bound):
            within[bound] = total
    return Histogram(within, total)


def common_bounds(one: Histogram, other: Histogram) -> tuple[float, ...]:
    """Return the finite bounds that both have, rising."""
    return tuple(sorted(one.within.keys() & other.within.keys()))


def next_bound(value: float, bounds: Iterable[float]) -> float | None:
    """Return the lowest of the (rising) bounds that is not below a value; None if all are."""
    return next((bound for bound in bounds if bound >= value * (1 - _ROUNDING)), None)
