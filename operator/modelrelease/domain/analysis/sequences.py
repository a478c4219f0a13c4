"""Bounds of a ratio that hold at every look at once, and Wald's one-sample e-value behind them.

The mixture over a beta prior has a closed form (Robbins 1970; Howard et al., Annals of Statistics
49(2), 2021): E = B(x + a, n - x + b) / (B(a, b) * p^x * (1 - p)^(n - x)). The ratios `p` that it does not
reject make a confidence sequence. The prior is centred at `p` and as wide as makes the sequence
narrowest after `BEST` requests, as in the package confseq.
"""

from __future__ import annotations

import math

BEST = 500.0
_BISECTIONS = 40


def log_e_beta(*, x: float, n: float, p: float, a: float = 1.0, b: float = 1.0) -> float:
    """Return the log e-value of `x` of `n` against the ratio `p`, both sides mixed by Beta(a, b)."""
    mixed = _log_beta(x + a, n - x + b) - _log_beta(a, b)
    hits = x * math.log(p) if x > 0 else 0.0
    misses = (n - x) * math.log1p(-p) if n > x else 0.0
    return mixed - hits - misses


def bounds(*, x: float, n: float, alpha: float, best: float = BEST) -> tuple[float, float]:
    """Return the lowest and highest ratio that `x` of `n` leave possible, at all looks with confidence 1 - alpha."""
    if n <= 0.0:
        return 0.0, 1.0
    centre = min(max(x / n, 1e-12), 1.0 - 1e-12)
    limit = math.log(1.0 / alpha)
    weight = best / (2.0 * limit + math.log1p(2.0 * limit)) - 1.0
    low = 0.0 if x <= 0.0 else _edge(x, n, limit, weight, inside=centre, outside=0.0)
    high = 1.0 if x >= n else _edge(x, n, limit, weight, inside=centre, outside=1.0)
    return low, high


def _edge(x: float, n: float, limit: float, weight: float, *, inside: float, outside: float) -> float:
    for _ in range(_BISECTIONS):
        middle = 0.5 * (inside + outside)
        known = 0.0 < middle < 1.0
        if not known or log_e_beta(x=x, n=n, p=middle, a=middle * weight, b=(1.0 - middle) * weight) > limit:
            outside = middle
        else:
            inside = middle
    return outside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
