"""Traffic of one release as rows: what each version counted in one scrape interval if it had all the traffic.

A tape comes from a table of recorded increments (`table`) or from one replication of a
scenario; both are thinned and judged in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from modelrelease.simulate.scenario import Fault
from modelrelease.simulate.traffic import Counts, Traffic

# Where nobody measured latency all answers are taken to be within this bound: no verdict can blame it.
ASSUMED_BOUND = 1.0
MOST_HOLDBACK = 5  # percent of the traffic that stay on stable in a bake


class Version(StrEnum):
    """Whose counts a row holds; `shadow` is the candidate's answers to copies."""

    STABLE = "stable"
    CANDIDATE = "candidate"
    SHADOW = "shadow"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One version's increments in the scrape interval that ends at `t`, of one pod.

    `within` is cumulative over the tape's bounds, its last entry the histogram's total. The other
    fields are None or empty where the tape does not tell them.
    """

    t: float
    pod: str = ""
    requests: int
    failures: int
    within: tuple[int, ...] = ()
    score: tuple[float, int] | None = None  # the sum of losses in 0..1, and of how many requests
    pairs: tuple[int, int, int] | None = None  # inputs that both versions answered; candidate worse, better
    classes: tuple[int, ...] = ()
    routed: int | None = None


@dataclass(frozen=True, kw_only=True)
class LateFault:
    """A fault that waits for the candidate to have so much traffic: the rows with it, one for each without."""

    fault: Fault
    rows: Mapping[Version, tuple[Row, ...]]

    def begins(self, share: float) -> bool:
        """Tell whether its clock starts at this share of the traffic; 100 % is the bake, whatever it holds back."""
        return 100.0 * share >= min(self.fault.after_weight, 100 - MOST_HOLDBACK)

    def active(self, t: float, started: float) -> bool:
        """Tell whether it is in force in the interval that ends at `t`."""
        end = math.inf if self.fault.end is None else self.fault.end
        return self.fault.onset < t - started <= end


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a version really counted in an interval, at the share that it had then."""

    row: Row
    share: float

    def fits(self, share: float) -> bool:
        """Tell whether a share is the recorded one, as far as counts can tell."""
        return abs(share - self.share) <= max(0.02, 0.2 * min(share, 1.0 - share))


@dataclass(frozen=True, kw_only=True)
class Tape:
    """All rows of each version, by time. `scrape` is the length of an interval in seconds, `bounds` are in ms."""

    rows: Mapping[Version, tuple[Row, ...]]
    scrape: float
    bounds: tuple[float, ...] = (ASSUMED_BOUND,)
    classes: tuple[str, ...] = ()
    late_fault: LateFault | None = None
    recorded: Mapping[Version, tuple[Recorded, ...]] | None = None  # one for each row
    notes: tuple[str, ...] = ()  # what was assumed, for people

    @property
    def end(self) -> float:
        """When the traffic ends, in seconds."""
        return max((rows[-1].t for rows in self.rows.values() if rows), default=0.0)


def of_traffic(traffic: Traffic, replication: int) -> Tape:
    """Return one replication of a scenario's traffic."""
    scenario, fault = traffic.scenario, traffic.scenario.fault
    late = None
    if fault is not None and fault.after_weight and traffic.faulty is not None and traffic.faulty_shadow is not None:
        faulty = {Version.CANDIDATE: traffic.faulty, Version.SHADOW: traffic.faulty_shadow}
        late = LateFault(fault=fault, rows=_all_rows(traffic, replication, faulty))
    arms = {Version.STABLE: traffic.stable, Version.CANDIDATE: traffic.candidate, Version.SHADOW: traffic.shadow}
    return Tape(
        rows=_all_rows(traffic, replication, arms),
        scrape=scenario.scrape,
        bounds=traffic.bounds or (ASSUMED_BOUND,),
        late_fault=late,
        notes=() if traffic.bounds else ("the scenario has no latency: all answers are taken to be fast",),
    )


def _all_rows(traffic: Traffic, replication: int, arms: Mapping[Version, Counts]) -> Mapping[Version, tuple[Row, ...]]:
    """Return the rows of some arms; stable alone has a history."""
    early = traffic.scenario.scrape - traffic.scenario.misalignment if traffic.scenario.misalignment else 0.0
    return {
        version: tuple(_rows(traffic, counts, replication, since=0, early=0.0))
        if version is Version.STABLE
        else tuple(_rows(traffic, counts, replication, since=traffic.first, early=early))
        for version, counts in arms.items()
    }


def _rows(traffic: Traffic, counts: Counts, replication: int, *, since: int, early: float) -> list[Row]:
    """Return the rows of one arm that is scraped so many seconds before the end of each interval."""
    requests, failures = counts.requests[:, replication].tolist(), counts.failures[:, replication].tolist()
    within = None if counts.latency is None else counts.latency[:, replication].tolist()
    several, there = traffic.scenario.pods > 1, traffic.there.tolist()
    return [
        Row(
            t=t - early,
            pod=f"pod-{pod}" if several else "",
            requests=total,
            failures=failures[index][pod],
            within=plain_histogram(total) if within is None else tuple(within[index][pod]),
        )
        for index, t in enumerate(traffic.times.tolist())
        if index >= since
        for pod, total in enumerate(requests[index])
        if there[index][pod]
    ]


def plain_histogram(requests: int) -> tuple[int, ...]:
    """Return the histogram of requests whose latency nobody measured."""
    return (requests, requests)


def infinite(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """Return the bounds with the infinite one, to which a row's last count belongs."""
    return (*bounds, math.inf)
