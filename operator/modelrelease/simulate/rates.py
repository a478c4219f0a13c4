"""How much traffic there is and how much of it fails, before chance: level, drift, bursts, outages, pods."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modelrelease.simulate.scenario import Burst, Scenario, Scope

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


def _wave(scenario: Scenario, times: Numbers) -> Numbers:
    """Return how far the slow wave is at each moment: 0 at the start, 1 at its other end."""
    if scenario.drift is None:
        return np.zeros_like(times)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * times / scenario.drift.half_period))


def requests(scenario: Scenario, times: Numbers) -> Numbers:
    """Return the requests to expect of each scrape (T,)."""
    here = scenario.requests_per_second
    there = scenario.drift.requests_per_second if scenario.drift else None
    return scenario.scrape * (here + _wave(scenario, times) * ((there or here) - here))


def shares(scenario: Scenario, times: Numbers) -> Numbers:
    """Return each pod's share of the traffic (T, P)."""
    live = np.full(times.size, scenario.pods)
    scaling = scenario.autoscaling
    if scaling is not None and scaling.fewest < scenario.pods:
        span = scenario.pods - scaling.fewest
        turn = np.floor(times / scaling.every).astype(int) % (2 * span)
        live = scenario.pods - np.minimum(turn, 2 * span - turn)
    return np.asarray((np.arange(scenario.pods) < live[:, None]) / live[:, None])


def shared_ratio(scenario: Scenario, times: Numbers, rng: np.random.Generator, shape: tuple[int, int, int]) -> Numbers:
    """Return the error ratio that both versions share (T, R, P): level, drift, shared bursts, outages."""
    here = scenario.error_ratio
    there = scenario.drift.error_ratio if scenario.drift else None
    ratio = here + _wave(scenario, times) * ((here if there is None else there) - here)
    base = np.broadcast_to(ratio[:, None, None], shape)
    for burst in scenario.bursts:
        if burst.scope is Scope.SHARED:
            base = base * _episodes(burst, scenario.scrape, rng, (shape[0], shape[1], 1))
    if (outages := scenario.outages) is not None:
        down = _down(shape[:2], every=outages.every, length=outages.length, scrape=scenario.scrape, rng=rng)
        base = np.where(down[:, :, None], np.maximum(base, outages.error_ratio), base)
    return base


def own_ratio(scenario: Scenario, base: Numbers, rng: np.random.Generator) -> Numbers:
    """Return the error ratio of one version: the shared one with the noise of its own and of its pods."""
    ratio = base
    for burst in scenario.bursts:
        if burst.scope is not Scope.SHARED:
            pods = base.shape[2] if burst.scope is Scope.POD else 1
            ratio = ratio * _episodes(burst, scenario.scrape, rng, (*base.shape[:2], pods))
    return np.minimum(ratio, 1.0)


def _episodes(burst: Burst, scrape: float, rng: np.random.Generator, shape: tuple[int, int, int]) -> Numbers:
    """Return a multiplier of mean 1 that stays for an episode and then changes."""
    if burst.cv == 0.0:
        return np.ones(shape)
    begins = rng.random(shape) < min(1.0, scrape / burst.length)
    begins[0] = True
    level = rng.gamma(1.0 / burst.cv**2, burst.cv**2, shape)
    last = np.maximum.accumulate(np.where(begins, np.arange(shape[0])[:, None, None], 0), axis=0)
    return np.asarray(np.take_along_axis(level, last, axis=0))


def _down(shape: tuple[int, int], *, every: float, length: float, scrape: float, rng: np.random.Generator) -> Flags:
    """Return when what both versions need is down (T, R): a two-state Markov chain with these mean times."""
    draws = rng.random(shape)
    down = np.empty(shape, dtype=bool)
    state = draws[0] < length / (length + every)
    fails, mends = min(1.0, scrape / every), min(1.0, scrape / length)
    for index in range(shape[0]):
        state = np.where(state, draws[index] >= mends, draws[index] < fails)
        down[index] = state
    return down
