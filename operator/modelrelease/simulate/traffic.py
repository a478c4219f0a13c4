"""Synthetic traffic as arrays: what each version would count per scrape if it had ALL the traffic.

Requests are Poisson. A Poisson stream split at random is independent Poisson streams, so
stable, candidate and shadow are drawn independently of each other and thinned to their
shares later (`Counts.thin`): that is exactly the traffic of a weighted route.

What is wrong with the candidate is drawn apart from what it would count in health, so that
a fault may begin at any moment (`Traffic.arms`) without changing anything before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from modelrelease.simulate import rates
from modelrelease.simulate.rates import Flags, Numbers
from modelrelease.simulate.scenario import FaultKind, Scenario
from modelrelease.simulate.thinning import Whole, keep, split, split_cumulative

_erf = np.vectorize(math.erf, otypes=[float])


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Increments per scrape: axes (T scrapes, R replications, P pods), `latency` with B + 1 cumulative buckets more.

    The last bucket of `latency` has no bound: it is the number of requests. None where latency is not simulated.
    """

    requests: Whole
    failures: Whole
    latency: Whole | None = None

    def thin(self, rng: np.random.Generator, share: ArrayLike) -> Counts:
        """Return what is left of the counts where each request is kept with the probability `share`.

        `share` broadcasts to (T, R, P).
        """
        kept = keep(rng, self.requests, share)
        cells = np.stack([self.failures, self.requests - self.failures], axis=-1)
        failures = split(rng, cells, kept)[..., 0]
        latency = None if self.latency is None else split_cumulative(rng, self.latency, kept)
        return Counts(requests=kept, failures=failures, latency=latency)

    def pooled(self) -> Counts:
        """Return the counts of all pods together; the axis stays, with length 1."""
        return self._each(lambda a: a.sum(axis=2, keepdims=True))

    def between(self, first: int, last: int) -> Counts:
        """Return the scrapes from `first` up to and without `last`."""
        return self._each(lambda a: a[first:last])

    def _each(self, change: Callable[[Whole], Whole]) -> Counts:
        latency = None if self.latency is None else change(self.latency)
        return Counts(requests=change(self.requests), failures=change(self.failures), latency=latency)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """All arms at full traffic.

    `times` (T,) is the end of each scrape interval in seconds; those up to 0 are history, in
    which only stable has counts that mean something. `faulty` and `faulty_shadow` are the
    candidate with its fault all the time, None without a fault.
    """

    scenario: Scenario
    times: Numbers
    stable: Counts
    candidate: Counts
    shadow: Counts
    faulty: Counts | None = None
    faulty_shadow: Counts | None = None

    @property
    def first(self) -> int:
        """The index of the first scrape after the history."""
        return int(np.searchsorted(self.times, 0.0, side="right"))

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of the latency buckets in ms, without the infinite one."""
        return self.scenario.latency.bounds if self.scenario.latency else ()

    @property
    def there(self) -> Flags:
        """Which pods there are at each scrape (T, P)."""
        return rates.shares(self.scenario, self.times) > 0.0

    def arms(self, started: ArrayLike = 0.0) -> tuple[Counts, Counts]:
        """Return candidate and shadow with the fault in force where its clock says so.

        `started` (R,) is when the fault's clock started, infinite where it has not (see `Fault.after_weight`).
        """
        fault = self.scenario.fault
        if fault is None or self.faulty is None or self.faulty_shadow is None:
            return self.candidate, self.shadow
        age = self.times[:, None] - np.broadcast_to(np.asarray(started, dtype=float), self.candidate.requests.shape[1])
        active = (age > fault.onset) & (age <= (math.inf if fault.end is None else fault.end))
        chosen = active[:, :, None]
        return _choose(chosen, self.faulty, self.candidate), _choose(chosen, self.faulty_shadow, self.shadow)


def increments(scenario: Scenario, *, seed: int, replications: int = 1) -> Traffic:
    """Return the traffic of a scenario; the same seed gives the same numbers.

    A replication is one run of the same scenario. Memory is about 60 bytes per scrape, replication and pod
    (and 50 more per latency bucket): draw thousands of long ones in chunks, each with its own seed.
    """
    before, after = math.floor(scenario.history / scenario.scrape), math.ceil(scenario.duration / scenario.scrape)
    times: Numbers = np.asarray(scenario.scrape * np.arange(1 - before, after + 1), dtype=np.float64)
    streams = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(8))
    shocks, *rngs = streams
    rate = rates.requests(scenario, times)[:, None, None] * rates.shares(scenario, times)[:, None, :]
    shape = (times.size, replications, scenario.pods)
    base = rates.shared_ratio(scenario, times, shocks, shape)
    stable_ratio, candidate_ratio = (rates.own_ratio(scenario, base, shocks) for _ in range(2))
    drawn = {
        "stable": _draw(scenario, rate, stable_ratio, rngs[0]),
        "candidate": _draw(scenario, rate, candidate_ratio, rngs[1], young=times),
        "shadow": _draw(scenario, rate, candidate_ratio, rngs[2], young=times),
    }
    if scenario.fault is not None:
        drawn["faulty"] = _spoil(drawn["candidate"], scenario, candidate_ratio, rngs[3], times)
        drawn["faulty_shadow"] = _spoil(drawn["shadow"], scenario, candidate_ratio, rngs[4], times)
    traffic = Traffic(scenario=scenario, times=times, **drawn)
    if scenario.fault is not None and not scenario.fault.after_weight:
        candidate, shadow = traffic.arms()
        traffic = replace(traffic, candidate=candidate, shadow=shadow)
    return _misaligned(traffic, rngs[5]) if scenario.misalignment else traffic


def _misaligned(traffic: Traffic, rng: np.random.Generator) -> Traffic:
    """Return the traffic as it is read where the candidate's counters are read earlier in each interval than stable's.

    What comes after the reading is in the next interval's.
    """
    part = traffic.scenario.misalignment / traffic.scenario.scrape

    def read(counts: Counts) -> Counts:
        early = counts.thin(rng, part)
        latency = None
        if counts.latency is not None and early.latency is not None:
            latency = _delayed(counts.latency, early.latency)
        return Counts(
            requests=_delayed(counts.requests, early.requests),
            failures=_delayed(counts.failures, early.failures),
            latency=latency,
        )

    return replace(
        traffic,
        candidate=read(traffic.candidate),
        shadow=read(traffic.shadow),
        faulty=read(traffic.faulty) if traffic.faulty else None,
        faulty_shadow=read(traffic.faulty_shadow) if traffic.faulty_shadow else None,
    )


def _delayed(counts: Whole, early: Whole) -> Whole:
    """Return each interval's early part with the rest of the one before."""
    out = early.copy()
    out[1:] += (counts - early)[:-1]
    return out


def _draw(
    scenario: Scenario, rate: Numbers, ratio: Numbers, rng: np.random.Generator, *, young: Numbers | None = None
) -> Counts:
    """Return the counts of one arm; `young` (T,) are the ages of its pods where a cold start is felt."""
    cold = scenario.cold_start if young is not None else None
    slower: Numbers | None = None
    if cold is not None and young is not None:
        fresh = (young > 0) & (young <= cold.length)
        ratio = np.where(fresh[:, None, None], ratio + (1.0 - ratio) * cold.errors, ratio)
        slower = np.where(fresh, cold.slower, 1.0)
    requests = rng.poisson(np.broadcast_to(rate, ratio.shape))
    failures = rng.binomial(requests, ratio)
    again = rng.binomial(failures, scenario.retries) if scenario.retries else 0
    requests, failures = requests + again, failures + rng.binomial(again, ratio) if scenario.retries else failures
    return Counts(requests=requests, failures=failures, latency=_latency(scenario, requests, rng, slower=slower))


def _latency(
    scenario: Scenario, requests: Whole, rng: np.random.Generator, *, slower: Numbers | None = None, share: float = 1.0
) -> Whole | None:
    """Return the cumulative histogram of requests of which a share takes `slower` (T,) times as long."""
    if scenario.latency is None:
        return None
    factors = np.ones(requests.shape[0]) if slower is None else slower
    within = share * _cdf(scenario, factors) + (1.0 - share) * _cdf(scenario, np.ones_like(factors))
    cells = np.diff(np.concatenate([within, np.ones((within.shape[0], 1))], axis=1), prepend=0.0, axis=1)
    drawn = rng.multinomial(requests, cells[:, None, None, :])
    return np.cumsum(drawn, axis=-1)


def _cdf(scenario: Scenario, factors: Numbers) -> Numbers:
    """Return the share of requests within each bound (T, B) where all take `factors` (T,) times as long."""
    assert scenario.latency is not None
    median, sigma = scenario.latency.median, scenario.latency.sigma
    distinct, place = np.unique(factors, return_inverse=True)
    logs = np.log(np.asarray(scenario.latency.bounds)[None, :] / (median * distinct[:, None])) / sigma
    return np.asarray((0.5 + 0.5 * _erf(logs / math.sqrt(2.0)))[place])


def _spoil(healthy: Counts, scenario: Scenario, ratio: Numbers, rng: np.random.Generator, times: Numbers) -> Counts:
    """Return the counts of an arm whose candidate has the fault all the time.

    The requests that failed in health still do; of the others so many more fail that the
    `ratio` (T, R, P) grows by the fault's size, up to 1.
    """
    fault = scenario.fault
    assert fault is not None
    if fault.kind is FaultKind.ERRORS:
        more = np.minimum(1.0, fault.size / np.maximum(1.0 - ratio, fault.size))
        return replace(healthy, failures=healthy.failures + rng.binomial(healthy.requests - healthy.failures, more))
    slower = np.full(times.size, fault.size)
    if (cold := scenario.cold_start) is not None:
        slower = np.where((times > 0) & (times <= cold.length), slower * cold.slower, slower)
    return replace(healthy, latency=_latency(scenario, healthy.requests, rng, slower=slower, share=fault.share))


def _choose(mask: Flags, one: Counts, other: Counts) -> Counts:
    latency = None
    if one.latency is not None and other.latency is not None:
        latency = np.where(mask[..., None], one.latency, other.latency)
    return Counts(
        requests=np.where(mask, one.requests, other.requests),
        failures=np.where(mask, one.failures, other.failures),
        latency=latency,
    )
