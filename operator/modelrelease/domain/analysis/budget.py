"""How many requests a release may spoil, whatever the tests say (section 2.12).

An engineering rule and no test: it alone may act on one scrape. So that it hardly ever stops a
candidate that is as good as stable, the budget is never below what chance alone reaches
with a probability of 0.1 %.
"""

from __future__ import annotations

import math

from modelrelease.domain.analysis.kernel import Counts

FALSE_STOP = 0.001
EXCURSIONS = 30.0  # how often the excess of a long step rises from 0 anew


def fold(excess: float, *, counts: Counts, line: tuple[float, float], noise: tuple[float, float]) -> float:
    """Return the bad requests beyond what the FAIL line `(a, r)` allows, never below 0; counts have shape (T,).

    `noise` is (kappa, least phi): a noisy service's bad requests count as 1/phi each.
    """
    a, r = line
    kappa, floor = noise
    for x_s, n_s, x_c, n_c in zip(*(part.tolist() for part in counts), strict=True):
        if n_c > 0.0 and n_s > 0.0:
            phi = max(floor, 1.0 + 2.0 * kappa * n_s * n_c / (n_s + n_c))
            excess = max(0.0, excess + (x_c - n_c * (a + r * x_s / n_s)) / phi)
    return excess


def limit(*, budget: float, base: float, line: tuple[float, float], ratio: float) -> float:
    """Return the excess at which to stop; `ratio` is candidate requests per stable request.

    The excess of an equal candidate is a random walk of drift `-(a + (r - 1) p)` and variance
    `p (1 - p) (1 + ratio)` per request: each time it leaves 0 it reaches B before it returns with a
    probability below exp(-2 drift B / variance).
    """
    a, r = line
    drift = a + (r - 1.0) * base
    if drift <= 0.0:
        return math.inf
    least = math.log(EXCURSIONS / FALSE_STOP) * base * (1.0 - base) * (1.0 + ratio) / (2.0 * drift)
    return max(budget, least)
