"""The grid: which traffic the rules are tried on, and what a row of it is for.

Null cells have a healthy candidate, the others a fault. Requests per second are written `rps`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from modelrelease.domain.policy import Analysis
from modelrelease.simulate.scenario import (
    Autoscaling,
    Burst,
    ColdStart,
    Drift,
    Fault,
    FaultKind,
    Lognormal,
    Outages,
    Scenario,
    Scope,
)

NULL_RUNS, FAULT_RUNS = 2000, 400
COUNTER_RUNS = 200  # each takes about a second
_MINUTE = 60.0


class Group(StrEnum):
    """Which table a cell belongs to."""

    NULL = "healthy"
    ERRORS = "more errors"
    LATENCY = "slower"
    NOISE = "noise of one version"
    BAKE = "fault in the bake"
    SHADOW = "with a full mirror"
    LOW = "low traffic"
    COUNTERS = "through raw counters"


class Plan(StrEnum):
    """How our release is set up."""

    LADDER = "5/10/25/50"
    MIRROR = "steps planned, full mirror first"
    HOLDBACK = "5/10/25/50, hold-back of 5 % in the bake"
    COUNTERS = "5/10/25/50, run by run through decide and the metrics adapter"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row: traffic, group, how ours is set up, and which number the peers' tuned thresholds know."""

    name: str
    group: Group
    scenario: Scenario
    plan: Plan = Plan.LADDER
    peers: bool = True

    @property
    def null(self) -> bool:
        """Whether the candidate is healthy."""
        return self.scenario.fault is None

    @property
    def latency(self) -> bool:
        """Whether the row is about latency."""
        return self.scenario.latency is not None

    @property
    def runs(self) -> int:
        """How many replications a full run makes."""
        if self.plan is Plan.COUNTERS:
            return COUNTER_RUNS
        return NULL_RUNS if self.null else FAULT_RUNS


def policy() -> Analysis:
    """Return the defaults, as a user gets them who writes nothing."""
    return Analysis()


def _base(ratio: float, rps: float) -> Scenario:
    return Scenario(requests_per_second=rps, error_ratio=ratio)


def _percent(ratio: float) -> str:
    return f"{100 * ratio:g} %"


_TAIL = Fault(kind=FaultKind.LATENCY, size=4.0, share=0.02)
_FIVE_POINTS = Fault(size=0.05)
_STEADY = tuple((ratio, rps) for ratio in (0.001, 0.01, 0.05) for rps in (1.0, 50.0, 1000.0))

_DISTURBED: dict[str, dict[str, object]] = {
    "bursts cv 0.5": {"bursts": (Burst(cv=0.5, length=30.0),)},
    "bursts cv 1": {"bursts": (Burst(cv=1.0, length=30.0),)},
    "bursts cv 0.5 per pod": {"bursts": (Burst(cv=0.5, length=30.0, scope=Scope.POD),), "pods": 4},
    "bursts of both": {"bursts": (Burst(cv=1.0, length=120.0, scope=Scope.SHARED),)},
    "outages of both": {"outages": Outages()},
    "diurnal 1 to 4 %": {"drift": Drift(error_ratio=0.04)},
    "retries": {"retries": 0.5},
    "autoscaling": {"autoscaling": Autoscaling(every=120.0), "pods": 4},
    "cold start": {"cold_start": ColdStart(slower=3.0), "latency": Lognormal()},
}


def _disturbed(name: str, rps: float) -> Scenario:
    return replace(_base(0.01, rps), **_DISTURBED[name])  # type: ignore[arg-type] # the table above holds fields


def _nulls() -> list[Cell]:
    cells = [
        Cell(name=f"{_percent(ratio)}, {rps:g} rps", group=Group.NULL, scenario=_base(ratio, rps))
        for ratio, rps in _STEADY
    ]
    cells += [
        Cell(name=f"{name}, {rps:g} rps", group=Group.NULL, scenario=_disturbed(name, rps))
        for name in _DISTURBED
        for rps in (50.0, 1000.0)
    ]
    cells += [
        Cell(name=f"latency, {rps:g} rps", group=Group.NULL, scenario=replace(_base(0.01, rps), latency=Lognormal()))
        for rps in (50.0, 1000.0)
    ]
    return cells


def _errors() -> list[Cell]:
    cells = [
        Cell(
            name=f"{_percent(ratio)} {100 * more:+g} pp, {rps:g} rps",
            group=Group.ERRORS,
            scenario=replace(_base(ratio, rps), fault=Fault(size=more)),
        )
        for rps in (50.0, 1000.0)
        for ratio in (0.001, 0.01, 0.05)
        for more in (0.002, 0.01, 0.05)
    ]
    cells += [
        Cell(
            name=f"{name}, {100 * more:+g} pp, {rps:g} rps",
            group=Group.ERRORS,
            scenario=replace(_disturbed(name, rps), fault=Fault(size=more)),
        )
        for name in ("bursts cv 0.5", "outages of both", "diurnal 1 to 4 %")
        for rps in (50.0, 1000.0)
        for more in (0.01, 0.05)
    ]
    cells += [
        Cell(
            name=f"from minute 3, {100 * more:+g} pp, {rps:g} rps",
            group=Group.ERRORS,
            scenario=replace(_base(0.01, rps), fault=Fault(size=more, onset=3 * _MINUTE)),
        )
        for rps in (50.0, 1000.0)
        for more in (0.01, 0.05)
    ]
    return cells


def _adversarial() -> list[Cell]:
    """Faults that wait until the candidate has traffic worth spoiling."""
    return [
        Cell(
            name=f"once it has {weight} %, {100 * size:+g} pp, {rps:g} rps",
            group=Group.ERRORS,
            scenario=replace(_base(0.01, rps), fault=Fault(size=size, after_weight=weight)),
            peers=False,
        )
        for weight in (25, 50)
        for rps in (50.0, 1000.0)
        for size in (0.01, 0.05)
    ]


def _counters() -> list[Cell]:
    """What happens to counters on their way: resets, lost and late scrapes, arms that are read at different moments."""
    plain = replace(_base(0.01, 200.0), duration=3600.0, pods=2)
    troubles: dict[str, dict[str, object]] = {
        "restarts every 20 min": {"restarts": 20 * _MINUTE},
        "a tenth of the scrapes lost": {"lost_scrapes": 0.1},
    }
    late = {"misalignment": 7.0, "ingestion_lag": 20.0}
    troubles["all of it, and arms read 7 s apart, 20 s late"] = {"restarts": 20 * _MINUTE, "lost_scrapes": 0.1, **late}
    return [
        Cell(
            name=f"{name}{said}",
            group=Group.COUNTERS,
            scenario=replace(plain, fault=fault, **trouble),  # type: ignore[arg-type] # fields, as above
            plan=Plan.COUNTERS,
            peers=False,
        )
        for name, trouble in troubles.items()
        for said, fault in (("", None), (", +5 pp", _FIVE_POINTS))
    ]


def _latencies() -> list[Cell]:
    slow = {
        "all 1.2 times": Fault(kind=FaultKind.LATENCY, size=1.2),
        "tail": Fault(kind=FaultKind.LATENCY, size=4.0, share=0.02),
    }
    return [
        Cell(
            name=f"{name}, {rps:g} rps",
            group=Group.LATENCY,
            scenario=replace(_base(0.01, rps), latency=Lognormal(), fault=fault),
        )
        for name, fault in slow.items()
        for rps in (50.0, 1000.0)
    ]


def _noise() -> list[Cell]:
    cells = []
    for minutes in (2.5, 10.0):
        for rps in (50.0, 200.0, 1000.0):
            noisy = replace(_base(0.01, rps), bursts=(Burst(cv=0.7, length=minutes * _MINUTE),))
            name = f"cv 0.7, {minutes:g} min, {rps:g} rps"
            cells.append(Cell(name=name, group=Group.NOISE, scenario=noisy))
            fault = replace(noisy, fault=_FIVE_POINTS)
            cells.append(Cell(name=f"{name}, +5 pp", group=Group.NOISE, scenario=fault))
    return cells


def _special() -> list[Cell]:
    usual, low = _base(0.01, 50.0), replace(_base(0.001, 1.0), duration=3 * 3600.0)
    late = Fault(size=0.05, after_weight=100, onset=2 * _MINUTE)
    bake, mirror = Plan.HOLDBACK, Plan.MIRROR
    found = (
        ("bake, healthy, 50 rps", Group.BAKE, bake, usual),
        ("bake, +5 pp, 50 rps", Group.BAKE, bake, replace(usual, fault=late)),
        ("1 %, 50 rps", Group.SHADOW, mirror, usual),
        ("1 % +5 pp, 50 rps", Group.SHADOW, mirror, replace(usual, fault=_FIVE_POINTS)),
        ("tail, 50 rps", Group.SHADOW, mirror, replace(usual, latency=Lognormal(), fault=_TAIL)),
        ("0.1 %, 1 rps", Group.LOW, mirror, low),
        ("0.1 % +5 pp, 1 rps", Group.LOW, mirror, replace(low, fault=_FIVE_POINTS)),
    )
    return [Cell(name=n, group=group, plan=plan, scenario=scenario, peers=False) for n, group, plan, scenario in found]


def cells() -> tuple[Cell, ...]:
    """Return the whole grid, in the order of the page."""
    return (*_nulls(), *_errors(), *_adversarial(), *_latencies(), *_noise(), *_special(), *_counters())
