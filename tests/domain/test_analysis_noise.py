"""Noise read off stable's history: none is made up, what is there is found, what both arms share is left out."""

from __future__ import annotations

import numpy
import pytest
from modelrelease.domain.analysis import dispersion
from modelrelease.domain.analysis.kernel import Array

WINDOWS, REQUESTS, RATIO, RUNS = 480, 750, 0.01, 40


def history(ratio: Array | float, *, seed: int = 1, requests: int = REQUESTS) -> tuple[Array, Array]:
    rng = numpy.random.default_rng(seed)
    n = rng.poisson(requests, (WINDOWS, RUNS))
    return rng.binomial(n, numpy.broadcast_to(ratio, n.shape)).astype(float), n.astype(float)


def episodes(cv: float, length: int, *, seed: int = 2, shape: tuple[int, ...] = (WINDOWS, RUNS)) -> Array:
    """Levels of mean 1 that stay for a geometric time."""
    rng = numpy.random.default_rng(seed)
    begins = rng.random(shape) < 1 / length
    begins[0] = True
    level = rng.gamma(cv**-2, cv**2, shape)
    index = numpy.arange(shape[0]).reshape((-1,) + (1,) * (len(shape) - 1))
    last = numpy.maximum.accumulate(numpy.where(begins, index, 0), axis=0)
    return numpy.take_along_axis(level, last, axis=0)


def true_kappa(cv: float, length: int) -> float:
    return cv**2 * RATIO / (1 - RATIO) * dispersion.summed(length)


def test_independent_requests_have_no_noise_to_speak_of() -> None:
    noise = dispersion.kappa(*history(RATIO))
    # At half the traffic of 50 requests/s that tempers by a tenth.
    assert numpy.median(noise) * 2 * 187 < 0.1


@pytest.mark.parametrize(("cv", "length"), [(0.5, 2), (0.5, 10), (1.0, 2)])
def test_episodes_are_found_as_large_as_they_are(cv: float, length: int) -> None:
    noise = dispersion.kappa(*history(RATIO * episodes(cv, length)))
    assert 0.6 < numpy.median(noise) / true_kappa(cv, length) < 3.0


def test_slow_noise_is_seldom_missed() -> None:
    noise = dispersion.kappa(*history(RATIO * episodes(0.7, 40)))
    assert numpy.quantile(noise, 0.1) > 0.02


def test_requests_that_are_counted_four_times_weigh_a_quarter() -> None:
    x, n = history(RATIO)
    noise = dispersion.kappa(4 * x, 4 * n)
    # Twice as many requests of one arm as of the other: phi is 1 + 2 * kappa * 2/3 * n.
    assert numpy.median(1 + noise * 4 * REQUESTS) == pytest.approx(4.0, rel=0.25)


def test_the_time_of_day_and_outages_are_no_noise_of_one_version() -> None:
    day = RATIO * (2.5 - 1.5 * numpy.cos(numpy.pi * numpy.arange(WINDOWS) / WINDOWS))[:, None]
    steady = numpy.median(dispersion.kappa(*history(day)))
    assert steady * 2 * 187 < 0.3
    outage = numpy.full((WINDOWS, 1), RATIO)
    outage[[100, 101, 300, 420]] = 0.3
    assert numpy.median(dispersion.kappa(*history(outage))) < true_kappa(0.5, 2)


def test_what_processes_do_differently_is_noise_and_what_they_share_is_not() -> None:
    rng = numpy.random.default_rng(3)
    n = numpy.full((WINDOWS, 4, RUNS), 188.0)

    def between(ratio: Array) -> float:
        x = rng.binomial(n.astype(int), numpy.broadcast_to(ratio, n.shape)).astype(float)
        return float(numpy.median(dispersion.kappa_between(x, n)))

    own = RATIO * episodes(0.5, 2, shape=n.shape)
    assert between(own) == pytest.approx(true_kappa(0.5, 2) / 4, rel=0.4)
    shared = RATIO * episodes(0.5, 2, shape=(WINDOWS, 1, RUNS))
    assert between(shared) < true_kappa(0.5, 2) / 40
    lasting = RATIO * numpy.array([0.5, 0.8, 1.2, 1.5])[None, :, None] * numpy.ones((WINDOWS, 1, RUNS))
    assert between(lasting) > true_kappa(0.5, 2)


def test_few_windows_and_few_processes_say_nothing() -> None:
    x, n = history(RATIO)
    assert not dispersion.kappa(x[:10], n[:10]).any()
    assert not dispersion.kappa(0 * x[:0], n[:0]).any()
    assert not dispersion.kappa_between(x[:, None], n[:, None]).any()


def test_lost_scrapes_and_empty_histories_are_finite() -> None:
    x, n = history(RATIO)
    x[::3], n[::3] = 0.0, 0.0
    assert numpy.median(dispersion.kappa(x, n)) * 2 * 187 < 0.3
    assert numpy.isfinite(dispersion.kappa(0 * x, 0 * n)).all()
    assert numpy.isfinite(dispersion.kappa(n, n)).all()
