"""How much noisier stable's ratio is than independent requests would make it (section 2.5).

`kappa` is that noise's variance in units of `p * (1 - p)`, for one scrape; a block's contrast of two
arms then has `phi = 1 + 2 * kappa * n_s * n_c / (n_s + n_c)` times its binomial variance. E^(1/phi) is
exact where every request counts phi times and an e-value under independence (Jensen); for other
noise it is quasi-likelihood: measured, not proved.
"""

from __future__ import annotations

import numpy

from modelrelease.domain.analysis.kernel import Array

SCALES = (1, 2, 4, 8, 16, 32, 64)  # scrapes
LEAST_SPANS = 4  # of a scale in the history, else the scale says nothing
LEAST_PROCESSES = 4
SHORT_HISTORY = 1800.0  # seconds: below it phi is at least 2
SHORT_FLOOR = 2.0


def kappa(x: Array, n: Array) -> Array:
    """Return the noise of stable's history; `x`, `n` are bad and all requests of windows, (T, ...).

    Per scale m: half the mean squared difference of neighbouring means of m windows, at all
    offsets, less what independent requests would give, times m. The largest scale counts.
    """
    spread = _variance(x, n)
    result = numpy.zeros(x.shape[1:])
    for m in _scales(len(x)):
        sum_x, sum_n = _moving(x, m), _moving(n, m)
        ratio = sum_x / numpy.maximum(sum_n, 1.0)
        squares = (ratio[m:] - ratio[:-m]) ** 2
        expected = spread * (1.0 / numpy.maximum(sum_n[m:], 1.0) + 1.0 / numpy.maximum(sum_n[:-m], 1.0))
        full = (sum_n[m:] >= 1.0) & (sum_n[:-m] >= 1.0)
        excess = numpy.where(full, squares - expected, 0.0).sum(axis=0) / numpy.maximum(full.sum(axis=0), 1)
        result = numpy.maximum(result, 0.5 * m * excess)
    return numpy.asarray(result / spread)


def kappa_between(x: Array, n: Array) -> Array:
    """Return the noise between processes, as far as an arm of as many of them feels it; (T, processes, ...)."""
    processes = x.shape[1]
    if processes < LEAST_PROCESSES:
        return numpy.zeros(x.shape[2:])
    spread = _variance(x.sum(axis=1), n.sum(axis=1))
    result = numpy.zeros(x.shape[2:])
    for m in _scales(len(x)):
        sum_x, sum_n = _moving(x, m)[::m], _moving(n, m)[::m]
        safe = numpy.maximum(sum_n, 1.0)
        mean = sum_x.sum(axis=1, keepdims=True) / numpy.maximum(sum_n.sum(axis=1, keepdims=True), 1.0)
        share = safe / safe.sum(axis=1, keepdims=True)
        squares = (share * (sum_x / safe - mean) ** 2).sum(axis=1)
        expected = spread * (share * (1.0 - share) / safe).sum(axis=1)
        excess = (squares - expected).mean(axis=0) * processes / (processes - 1)
        result = numpy.maximum(result, m * excess / processes)
    return numpy.asarray(result / spread)


def _variance(x: Array, n: Array) -> Array:
    ratio = (x.sum(axis=0) + 0.5) / (n.sum(axis=0) + 1.0)
    ratio = numpy.clip(ratio, 1e-6, 1.0 - 1e-6)
    return numpy.asarray(ratio * (1.0 - ratio))


def _scales(length: int) -> list[int]:
    return [m for m in SCALES if m == 1 or length >= LEAST_SPANS * m] if length > 1 else []


def _moving(values: Array, m: int) -> Array:
    total = numpy.concatenate((numpy.zeros((1, *values.shape[1:])), numpy.cumsum(values, axis=0)))
    return numpy.asarray(total[m:] - total[:-m])
