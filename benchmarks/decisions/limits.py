"""A fixed threshold on a metric of the candidate alone, as the peers have it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from benchmarks.decisions.traffic import Bools, Counts, Floats, Sample


@dataclass(frozen=True)
class Limit:
    """At most this share of failures; and, where given, at most this quantile in ms."""

    errors: float | None = None
    latency_ms: float | None = None
    quantile: float = 0.99


def quantile(within: Counts, *, requests: Counts, bounds: tuple[float, ...], level: float) -> Floats:
    """Return the quantile in ms as Prometheus' histogram_quantile interpolates it, NaN without requests.

    `within` is (..., B) cumulative. Beyond the last bound the answer is that bound.
    """
    edges = numpy.concatenate(([0.0], bounds))
    cumulative = numpy.concatenate((numpy.zeros((*within.shape[:-1], 1)), within), axis=-1)
    rank = level * requests
    place = numpy.clip((cumulative < rank[..., None]).sum(axis=-1), 1, len(bounds))
    low, high = (numpy.take_along_axis(cumulative, (place + k)[..., None], axis=-1)[..., 0] for k in (-1, 0))
    inside = numpy.clip((rank - low) / numpy.maximum(high - low, 1e-300), 0.0, 1.0)
    found = edges[place - 1] + (edges[place] - edges[place - 1]) * inside
    return numpy.where(requests > 0, found, numpy.nan)


def exceeded(limit: Limit, sample: Sample, *, bounds: tuple[float, ...]) -> tuple[Bools, Bools]:
    """Return, per run, whether a limit is exceeded, and whether there is any request to say so by."""
    known = sample.requests > 0
    over: NDArray[numpy.bool_] = numpy.zeros(sample.requests.shape, dtype=bool)
    if limit.errors is not None:
        over |= sample.failures > limit.errors * sample.requests
    if limit.latency_ms is not None:
        found = quantile(sample.within, requests=sample.requests, bounds=bounds, level=limit.quantile)
        over |= numpy.nan_to_num(found) > limit.latency_ms
    return over & known, known
