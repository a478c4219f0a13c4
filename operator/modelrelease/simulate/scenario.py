"""What synthetic traffic is like: how much, how bad, and everything that disturbs it.

A scenario is read from YAML with the API's manners (camelCase, durations such as `10m`) and
checks itself: a value that makes no sense raises `ValueError` with one sentence. Times are
seconds; 0 is when the candidate's pods are ready, and what is before it is stable's history.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from modelrelease.domain.policy import seconds

# Envoy's own bucket bounds in ms, without those that no answer of a model takes.
ENVOY_BOUNDS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)


class FaultKind(StrEnum):
    """What a bad candidate does."""

    ERRORS = "errors"  # `size` more of all requests fail
    LATENCY = "latency"  # a share of the requests takes `size` times as long


class Scope(StrEnum):
    """Who feels a burst of errors at the same moment."""

    SHARED = "shared"  # everybody: a database behind both versions
    ARM = "arm"  # all pods of one version
    POD = "pod"  # one pod


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with the candidate, from `onset` until `end`.

    With `after_weight` its clock starts when the candidate gets at least that percentage of
    the traffic (100: in the bake, hold-back or not): the adversary who waits until it hurts.
    """

    kind: FaultKind = FaultKind.ERRORS
    size: float
    share: float = 1.0  # of the requests that are slower
    onset: float = seconds(0.0)
    end: float | None = seconds(None)
    after_weight: int = 0

    def __post_init__(self) -> None:
        if self.kind is FaultKind.ERRORS:
            _within("size", self.size, low=0.0, high=1.0)
            _require(self.share == 1.0, "share", "is for kind latency; write a smaller size instead")
        else:
            _within("size", self.size, low=0.01, high=1000.0)
        _within("share", self.share, low=0.0, high=1.0)
        _within("afterWeight", self.after_weight, low=0, high=100)
        _require(self.end is None or self.end > self.onset, "end", "must be after onset")


@dataclass(frozen=True, kw_only=True)
class Burst:
    """Noise of the error ratio in episodes: each multiplies it by a gamma variate of mean 1 and this `cv`.

    Episodes follow each other without gap; their lengths are geometric with mean `length`.
    """

    cv: float
    length: float = seconds(60.0)
    scope: Scope = Scope.ARM

    def __post_init__(self) -> None:
        _within("cv", self.cv, low=0.0, high=10.0)
        _within("length", self.length, low=1.0, high=86_400.0)


@dataclass(frozen=True, kw_only=True)
class Outages:
    """Moments in which what both versions need is down: `error_ratio` of all requests fails."""

    every: float = seconds(1200.0)  # on average, from end to start
    length: float = seconds(30.0)  # on average
    error_ratio: float = 0.3

    def __post_init__(self) -> None:
        _within("every", self.every, low=1.0, high=1e6)
        _within("length", self.length, low=1.0, high=86_400.0)
        _within("errorRatio", self.error_ratio, low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A slow wave of both versions: error ratio and traffic go there in half a period, and back."""

    error_ratio: float | None = None  # at the other end of the wave
    requests_per_second: float | None = None  # at the other end of the wave
    half_period: float = seconds(7200.0)

    def __post_init__(self) -> None:
        if self.error_ratio is not None:
            _within("errorRatio", self.error_ratio, low=0.0, high=1.0)
        if self.requests_per_second is not None:
            _within("requestsPerSecond", self.requests_per_second, low=0.001, high=1e6)
        _within("halfPeriod", self.half_period, low=60.0, high=1e6)


@dataclass(frozen=True, kw_only=True)
class Lognormal:
    """How long answers take: their median in ms, the sigma of the logarithm, the histogram's bounds in ms."""

    median: float = 50.0
    sigma: float = 0.5
    bounds: tuple[float, ...] = ENVOY_BOUNDS

    def __post_init__(self) -> None:
        _within("median", self.median, low=0.001, high=1e6)
        _within("sigma", self.sigma, low=0.01, high=5.0)
        rising = all(0 < a < b < math.inf for a, b in zip(self.bounds, self.bounds[1:], strict=False))
        _require(len(self.bounds) > 1 and rising, "bounds", "must be two or more rising numbers above 0")


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """What new candidate pods are like at first: slower, and more of their answers are errors."""

    length: float = seconds(60.0)
    slower: float = 2.0
    errors: float = 0.0

    def __post_init__(self) -> None:
        _within("length", self.length, low=0.0, high=3600.0)
        _within("slower", self.slower, low=1.0, high=100.0)
        _within("errors", self.errors, low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class Autoscaling:
    """A pod comes or goes every `every` seconds, between `fewest` and all `pods`; traffic spreads over those there."""

    every: float = seconds(300.0)
    fewest: int = 1

    def __post_init__(self) -> None:
        _within("every", self.every, low=1.0, high=86_400.0)
        _within("fewest", self.fewest, low=1, high=100)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Synthetic traffic of one release; everything that disturbs it is off unless it is said."""

    requests_per_second: float = 50.0
    error_ratio: float = 0.01
    duration: float = seconds(7200.0)
    history: float = seconds(7200.0)
    scrape: float = seconds(15.0)
    pods: int = 1  # that are scraped, each with its own counters
    fault: Fault | None = None
    bursts: tuple[Burst, ...] = ()
    outages: Outages | None = None
    drift: Drift | None = None
    latency: Lognormal | None = None
    cold_start: ColdStart | None = None
    retries: float = 0.0  # the share of failures that is tried once more, and counts again
    autoscaling: Autoscaling | None = None
    restarts: float | None = seconds(None)  # mean time between restarts of a pod: counters begin at zero again
    lost_scrapes: float = 0.0  # the share of scrapes that fail
    misalignment: float = seconds(0.0)  # after stable's counters the candidate's are read, in each interval
    ingestion_lag: float = seconds(0.0)  # how long samples take until they can be queried

    def __post_init__(self) -> None:
        _within("requestsPerSecond", self.requests_per_second, low=0.001, high=1e6)
        _within("errorRatio", self.error_ratio, low=0.0, high=1.0)
        _within("scrape", self.scrape, low=1.0, high=300.0)
        _within("duration", self.duration, low=self.scrape, high=604_800.0)
        _within("history", self.history, low=0.0, high=86_400.0)
        _within("pods", self.pods, low=1, high=100)
        _within("retries", self.retries, low=0.0, high=1.0)
        _within("lostScrapes", self.lost_scrapes, low=0.0, high=0.9)
        _within("misalignment", self.misalignment, low=0.0, high=self.scrape)
        _within("ingestionLag", self.ingestion_lag, low=0.0, high=600.0)
        if self.restarts is not None:
            _within("restarts", self.restarts, low=self.scrape, high=1e6)
        if self.autoscaling is not None:
            _require(self.autoscaling.fewest <= self.pods, "autoscaling.fewest", f"is above pods, {self.pods}")
        slow = self.fault is not None and self.fault.kind is FaultKind.LATENCY
        _require(self.latency is not None or not slow, "fault.kind", "is latency: add latency, even if it is {}")


def _within(name: str, value: float, *, low: float, high: float) -> None:
    _require(low <= value <= high, name, f"is {value:g}: allowed are {low:g} to {high:g}")


def _require(condition: bool, name: str, problem: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not condition:
        raise ValueError(f"{name} {problem}")
