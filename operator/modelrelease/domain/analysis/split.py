"""Whether the traffic is split as commanded (sample ratio mismatch, section 2.10).

Requests that vanish (a crash, a client that retries on stable) are missing failures: what is left
must not be judged. The e-value is the Dirichlet mixture of Lindon and Malek (arXiv 2011.03567).
"""

from __future__ import annotations

import math

THRESHOLD = 1000.0
CONCENTRATION = 100.0
TOLERANCE = (0.01, 0.2)  # of the share: a point of all traffic, or a fifth of the weight
_TEMPER = 10.0  # keep-alive and sticky sessions are no independent draws
_GRID = 5


def log_e(*, counts: tuple[float, float], share: tuple[float, float]) -> float:
    """Return the log e-value of two counts against the shares that were commanded."""
    n, prior = sum(counts), [CONCENTRATION * part for part in share]
    total = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + n)
    for count, part, weight in zip(counts, share, prior, strict=True):
        total += math.lgamma(weight + count) - math.lgamma(weight) - count * math.log(part)
    return total


def log_e_off(*, candidate: float, stable: float, weight: float) -> float:
    """Return the tempered log e-value against any share within the tolerance around the candidate's `weight`."""
    width = max(TOLERANCE[0], TOLERANCE[1] * weight)
    low, high = max(1e-6, weight - width), min(1.0 - 1e-6, weight + width)
    shares = [low + (high - low) * i / (_GRID - 1) for i in range(_GRID)]
    observed = candidate / (candidate + stable) if candidate + stable > 0 else weight
    shares.append(min(max(observed, low), high))
    least = min(log_e(counts=(candidate, stable), share=(share, 1.0 - share)) for share in shares)
    return least / _TEMPER
