"""Traffic as the rules see it: increments per scrape at full traffic, thinned by whatever weight a rule commands.

All arrays have the scrapes first and the replications second: (T, R), and (T, R, B) with B bucket bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from modelrelease.simulate.scenario import FaultKind, Scenario
from modelrelease.simulate.traffic import Counts as SimulatedCounts
from modelrelease.simulate.traffic import Traffic as Simulated
from modelrelease.simulate.traffic import increments
from numpy.typing import NDArray

Counts = NDArray[numpy.int64]
Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]


@dataclass(frozen=True)
class Arm:
    """One version under all of the traffic.

    `within` counts, per bucket bound, the requests that took at most that long; it has no
    last axis of length zero only where the scenario is about latency.
    """

    requests: Counts  # (T, R)
    failures: Counts  # (T, R)
    within: Counts  # (T, R, B)


@dataclass(frozen=True)
class Traffic:
    """What both versions would do, from the candidate's first scrape on.

    `harm` is the share of the candidate's requests that its fault spoils at each scrape, (T, 1) or
    (T, R): what it costs to serve them is requests times harm, with no noise of its own.
    """

    scrape: float  # seconds
    bounds: tuple[float, ...]  # ms
    stable: Arm
    candidate: Arm
    harm: Floats

    @property
    def scrapes(self) -> int:
        """How many scrapes there are."""
        return int(self.stable.requests.shape[0])

    @property
    def replications(self) -> int:
        """How many independent runs there are."""
        return int(self.stable.requests.shape[1])


@dataclass(frozen=True)
class Sample:
    """What reached one version in a stretch of time: (R,) and (R, B)."""

    requests: Counts
    failures: Counts
    within: Counts


def thin(arm: Arm, *, scrape: int | slice, weight: Floats, rng: numpy.random.Generator) -> Sample:
    """Return what reaches a version that gets `weight` (R,) of the traffic.

    Requests are thinned in disjoint cells (failed or not, and by bucket), so that there are
    never more failures, or more fast requests, than requests.
    """
    share = weight if isinstance(scrape, int) else weight[None, :]
    failures = rng.binomial(arm.failures[scrape], share)
    if arm.within.shape[-1] == 0:
        good = rng.binomial(arm.requests[scrape] - arm.failures[scrape], share)
        within = numpy.zeros((*good.shape, 0), dtype=numpy.int64)
        return Sample(requests=good + failures, failures=failures, within=within)
    cells = numpy.diff(arm.within[scrape], axis=-1, prepend=0)
    rest = arm.requests[scrape] - arm.within[scrape][..., -1]
    within = numpy.cumsum(rng.binomial(cells, share[..., None]), axis=-1)
    requests = within[..., -1] + rng.binomial(rest, share)
    return Sample(requests=requests, failures=numpy.minimum(failures, requests), within=within)


def drawn(scenario: Scenario, *, seed: int, replications: int) -> tuple[Simulated, Traffic]:
    """Return a scenario's traffic as the simulator has it, and as the peers see it: pods together, no history."""
    full = increments(scenario, seed=seed, replications=replications)
    first = full.first
    candidate, _ = full.arms()
    return full, Traffic(
        scrape=scenario.scrape,
        bounds=full.bounds,
        stable=_arm(full.stable, first=first),
        candidate=_arm(candidate, first=first),
        harm=harm(scenario, ages=full.times[first:, None]),
    )


def harm(scenario: Scenario, *, ages: Floats) -> Floats:
    """Return the share of the candidate's requests that its fault spoils; `ages` are of its clock, in seconds."""
    fault = scenario.fault
    if fault is None:
        return numpy.zeros_like(ages)
    spoilt = fault.size if fault.kind is FaultKind.ERRORS else fault.share
    active = (ages > fault.onset) & (ages <= (numpy.inf if fault.end is None else fault.end))
    return numpy.where(active, spoilt, 0.0)


def _arm(counts: SimulatedCounts, *, first: int) -> Arm:
    pooled = counts.pooled()
    requests = pooled.requests[first:, :, 0]
    none = numpy.zeros((*requests.shape, 0), dtype=numpy.int64)
    within = none if pooled.latency is None else pooled.latency[first:, :, 0, :-1]
    return Arm(requests=requests, failures=pooled.failures[first:, :, 0], within=within)
