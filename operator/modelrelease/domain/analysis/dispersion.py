"""How much noisier stable's ratio is than independent requests would make it (cf. section 2.5).

`kappa` is that noise's variance in units of `p * (1 - p)`, summed up over a run of `HORIZON` scrapes: a
block's contrast of two arms then has `phi = 1 + 2 * kappa * n_s * n_c / (n_s + n_c)` times its binomial
variance. E^(1/phi) is exact where every request counts phi times, and an e-value under independence
(Jensen); for other noise it is quasi-likelihood: measured, not proved.

The noise is modelled as episodes that begin with a probability of 1/L at each scrape and then keep
their level: autocovariance v * (1 - 1/L)^k. Whittle's likelihood of the periodogram (Whittle 1953)
weighs all pairs (v, L) of a grid and no noise at all; the mean over them is taken, so that little
history of slow noise errs towards more of it, and none makes none up.
"""

from __future__ import annotations

import math
from functools import cache

import numpy
from numpy.typing import NDArray

from modelrelease.domain.analysis.kernel import Array

HORIZON = 128  # scrapes over which noise adds up: about half an hour, as long as a step's evidence takes
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # scrapes, of an episode
SPREADS = tuple(0.03 * 1.37**i for i in range(13))  # coefficients of variation of the ratio, up to 1.3
NONE = 0.5  # the prior weight of no noise
LEAST_WINDOWS = 16  # in which stable had requests, else the history says nothing of noise
LEAST_PROCESSES = 4
SHORT_HISTORY = 1800.0  # seconds: below it phi is at least 2
SHORT_FLOOR = 2.0
_OUTLIER = 6.0  # robust standard deviations: an outage is no noise, and one block's evidence is capped anyway
_TREND = 3  # degree of the polynomial that is taken off: both arms share the time of day


def kappa(x: Array, n: Array) -> Array:
    """Return the noise of an arm from stable's history; `x`, `n` are bad and all requests of windows, (T, ...)."""
    if len(x) < LEAST_WINDOWS:
        return numpy.zeros(x.shape[1:])
    ratio, known, spread = _series(x, n)
    residual = _detrended(numpy.where(known, ratio, 0.0), known)
    power = _periodogram(residual)[_TREND:]
    return _mean_noise(power, first=_TREND, length=len(x), floor=_binomial(n), spread=spread, repeats=1.0)


def kappa_between(x: Array, n: Array) -> Array:
    """Return the noise of an arm from what its processes do differently in the same window, (T, processes, ...).

    Shocks that all processes share cancel, and lasting differences between them count.
    """
    processes = x.shape[1]
    if processes < LEAST_PROCESSES or len(x) < LEAST_WINDOWS:
        return numpy.zeros(x.shape[2:])
    ratio, known, _ = _series(x, n)
    common = x.sum(axis=1, keepdims=True) / numpy.maximum(n.sum(axis=1, keepdims=True), 1.0)
    level = (x.sum(axis=(0, 1)) + 0.5) / (n.sum(axis=(0, 1)) + 1.0)
    scale = (processes / (processes - 1.0)) ** 0.5  # a deviation from a mean that it is part of is smaller
    power = _periodogram(numpy.where(known, scale * (ratio - common), 0.0)).mean(axis=1)
    floor = _binomial(n).mean(axis=0)
    noise = _mean_noise(power, first=0, length=len(x), floor=floor, spread=level, repeats=processes - 1.0)
    return numpy.asarray(noise / processes)


def _series(x: Array, n: Array) -> tuple[Array, NDArray[numpy.bool_], Array]:
    """Return the windows' ratios without outliers, where there are any, and the whole ratio."""
    known = n >= 1.0
    level = numpy.clip((x.sum(axis=0) + 0.5) / (n.sum(axis=0) + 1.0), 1e-6, 1.0 - 1e-6)
    ratio = numpy.where(known, x / numpy.maximum(n, 1.0), level)
    middle = numpy.median(ratio, axis=0)
    deviation = 1.4826 * numpy.median(numpy.abs(ratio - middle), axis=0)
    least = numpy.sqrt(level * (1.0 - level) * _binomial(n))
    reach = _OUTLIER * numpy.maximum(deviation, least)
    return numpy.clip(ratio, middle - reach, middle + reach), known, level


def _binomial(n: Array) -> Array:
    """Return the mean of 1/n: what independent requests give a window's ratio, in units of p * (1 - p)."""
    known = n >= 1.0
    mean = (known / numpy.maximum(n, 1.0)).sum(axis=0) / numpy.maximum(known.sum(axis=0), 1.0)
    return numpy.asarray(numpy.maximum(mean, 1e-12))


def _detrended(series: Array, known: NDArray[numpy.bool_]) -> Array:
    """Return what a polynomial in time leaves of a series (T, ...); unknown windows leave nothing."""
    time = numpy.linspace(-1.0, 1.0, len(series))
    basis, _ = numpy.linalg.qr(numpy.vander(time, _TREND + 1))
    flat = series.reshape(len(series), -1)
    left = flat - basis @ (basis.T @ flat)
    return numpy.where(known, left.reshape(series.shape), 0.0)


def _periodogram(series: Array) -> Array:
    return numpy.asarray(numpy.abs(numpy.fft.rfft(series, axis=0)) ** 2 / len(series))


def _mean_noise(power: Array, *, first: int, length: int, floor: Array, spread: Array, repeats: float) -> Array:
    """Return the mean of kappa over the grid, weighed by prior and Whittle likelihood."""
    unit = spread * (1.0 - spread)
    power = power / unit
    frequency = 2.0 * math.pi * numpy.arange(first, first + len(power)) / length
    frequency = frequency.reshape((-1,) + (1,) * (power.ndim - 1))
    odds = spread / (1.0 - spread)
    logs, values = [_whittle(power, numpy.broadcast_to(floor, power.shape), repeats)], [numpy.zeros(power.shape[1:])]
    prior = math.log((1.0 - NONE) / NONE / (len(LENGTHS) * len(SPREADS)))
    for span in LENGTHS:
        keep = 1.0 - 1.0 / span
        shape = (1.0 - keep**2) / (1.0 - 2.0 * keep * numpy.cos(frequency) + keep**2)
        for cv in SPREADS:
            noise = cv**2 * odds
            logs.append(prior + _whittle(power, floor + noise * shape, repeats))
            values.append(noise * summed(span))
    table = numpy.array(logs)
    weight = numpy.exp(table - table.max(axis=0))
    return numpy.asarray((weight * numpy.array(values)).sum(axis=0) / weight.sum(axis=0))


def _whittle(power: Array, density: Array, repeats: float) -> Array:
    return numpy.asarray(-repeats * (numpy.log(density) + power / density).sum(axis=0))


@cache
def summed(span: int) -> float:
    """Return by how much episodes of `span` scrapes raise the variance of a sum of `HORIZON` scrapes."""
    keep = 1.0 - 1.0 / span
    return 1.0 + 2.0 * sum((1.0 - k / HORIZON) * keep**k for k in range(1, HORIZON))
