"""Traffic of one release as rows: what each version counted in one scrape interval if it had all the traffic.

A tape comes from a table of recorded increments (`table`) or from one replication of a
scenario; both are thinned and judged in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from modelrelease.simulate.traffic import Counts, Traffic

# Where nobody measured latency all answers are taken to be within this bound: no verdict can blame it.
ASSUMED_BOUND = 1.0


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
class Tape:
    """All rows of each version, by time. `scrape` is the length of an interval in seconds, `bounds` are in ms."""

    rows: Mapping[Version, tuple[Row, ...]]
    scrape: float
    bounds: tuple[float, ...] = (ASSUMED_BOUND,)
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what was assumed, for people

    @property
    def end(self) -> float:
        """When the traffic ends, in seconds."""
        return max((rows[-1].t for rows in self.rows.values() if rows), default=0.0)


def of_traffic(traffic: Traffic, replication: int) -> Tape:
    """Return one replication of a scenario's traffic; candidate and shadow with the fault on its own clock."""
    arms = {Version.STABLE: traffic.stable, Version.CANDIDATE: traffic.candidate, Version.SHADOW: traffic.shadow}
    return tape_of(traffic, replication, arms)


def tape_of(traffic: Traffic, replication: int, arms: Mapping[Version, Counts]) -> Tape:
    """Return a tape of some arms of a scenario's traffic; stable has the history alone."""
    bounds = traffic.bounds or (ASSUMED_BOUND,)
    rows = {
        version: tuple(_rows(traffic, counts, replication, since=0 if version is Version.STABLE else traffic.first))
        for version, counts in arms.items()
    }
    notes = () if traffic.bounds else ("the scenario has no latency: all answers are taken to be fast",)
    return Tape(rows=rows, scrape=traffic.scenario.scrape, bounds=bounds, notes=notes)


def _rows(traffic: Traffic, counts: Counts, replication: int, *, since: int) -> list[Row]:
    requests, failures = counts.requests[:, replication].tolist(), counts.failures[:, replication].tolist()
    within = None if counts.latency is None else counts.latency[:, replication].tolist()
    several = traffic.scenario.pods > 1
    return [
        Row(
            t=float(t),
            pod=f"pod-{pod}" if several else "",
            requests=total,
            failures=failures[index][pod],
            within=(total, total) if within is None else tuple(within[index][pod]),
        )
        for index, t in enumerate(traffic.times.tolist())
        if index >= since
        for pod, total in enumerate(requests[index])
    ]


def plain_histogram(requests: int) -> tuple[int, ...]:
    """Return the histogram of requests whose latency nobody measured."""
    return (requests, requests)


def infinite(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """Return the bounds with the infinite one, to which a row's last count belongs."""
    return (*bounds, math.inf)
