"""Bounds of a ratio that hold at every look at once, and Wald's one-sample e-value behind them.

The mixture over a beta prior has a closed form (Robbins 1970; Howard et al., Annals of Statistics
49(2), 2021): E = B(x + a, n - x + b) / (B(a, b) * p^x * (1 - p)^(n - x)). The ratios `p` that it does not
reject make a confidence sequence. The prior is centred at `p` and as wide as makes the sequence
narrowest after `BEST` requests, as in the package confseq.
"""

from __future__ import annotations

import math

BEST = 500.0
_ABSOLUTE, _RELATIVE = 1e-12, 1e-9
_LOOKS = 200


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
    """Return the first ratio on the way from `inside` to `outside` that is rejected, on its rejected side.

    By the Illinois method (Dowell and Jarratt, BIT 11, 1971): a quarter of the looks that halving takes.
    """
    below, above = -limit, math.inf  # what the end on either side has over the limit; at 0 and 1 it has no bound
    again = 0
    for _ in range(_LOOKS):
        width, least = outside - inside, _ABSOLUTE + _RELATIVE * max(inside, outside)
        if abs(width) <= least:
            break
        # Never nearer to an end than what counts as found: else the other end would not move any more.
        margin = 0.5 * least / abs(width)
        share = below / (below - above) if above < math.inf else 0.5
        p = inside + width * min(max(share, margin), 1.0 - margin)
        excess = log_e_beta(x=x, n=n, p=p, a=p * weight, b=(1.0 - p) * weight) - limit
        if excess > 0.0:
            outside, above = p, excess
            below, again = (0.5 * below if again > 0 else below), 1
        else:
            inside, below = p, excess
            above, again = (0.5 * above if again < 0 else above), -1
    return outside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
