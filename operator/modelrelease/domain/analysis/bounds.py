"""Exact confidence bounds of a ratio of counts, after Clopper and Pearson.

Exact matters here: a canary has few requests and fewer failures, where the usual normal
approximation calls three failures in forty significant or not at random. The bounds come
from the binomial tail itself, by bisection, so that the operator needs no SciPy.
"""

from __future__ import annotations

import math

# Beyond this many trials a bound is computed from as many trials of the same ratio. It is
# then a little wider than it could be, never too narrow, and the time it takes is bounded.
MOST_TRIALS = 1_000_000

_BISECTIONS = 50
_NEGLIGIBLE = 1e-16


def lower(*, hits: float, trials: float, confidence: float) -> float:
    """Return the largest ratio that the true one exceeds with this confidence.

    Counts that are not whole are rounded to the safe side: fewer hits in more trials.
    """
    n = math.ceil(trials)
    k = min(math.floor(hits), n)
    if k <= 0:
        return 0.0
    if n > MOST_TRIALS:
        n, k = MOST_TRIALS, k * MOST_TRIALS // n
        if k == 0:
            return 0.0
    low, high = 0.0, k / n
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _at_least(k, n, middle) <= 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def upper(*, hits: float, trials: float, confidence: float) -> float:
    """Return the smallest ratio that the true one stays below with this confidence; 1 without trials."""
    n = math.floor(trials)
    if n <= 0:
        return 1.0
    return 1.0 - lower(hits=n - min(math.ceil(hits), n), trials=n, confidence=confidence)


def _at_least(k: int, n: int, p: float) -> float:
    """Return P(X >= k) of a binomial with p <= k/n, where the terms only fall from k on."""
    if p <= 0.0:
        return 0.0
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(ways + k * math.log(p) + ((n - k) * math.log1p(-p) if k < n else 0.0))
    odds = p / (1.0 - p) if p < 1.0 else math.inf
    total = term
    for i in range(k, n):
        term *= (n - i) / (i + 1) * odds
        total += term
        if term <= total * _NEGLIGIBLE:
            break
    return min(1.0, total)
