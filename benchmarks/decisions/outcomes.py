"""How runs ended, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from benchmarks.decisions.traffic import Bools, Floats, Traffic


@dataclass(frozen=True)
class Outcomes:
    """One rule on one traffic: arrays over the replications.

    `at` is when it promoted or rolled back, in seconds, NaN where it did neither within the
    traffic. `weights` is the candidate's share during each scrape (T, R): 1 after promotion.
    """

    promoted: Bools
    rolled_back: Bools
    at: Floats
    weights: Floats

    @property
    def undecided(self) -> Bools:
        """Neither promoted nor rolled back in time."""
        return ~(self.promoted | self.rolled_back)

    def bad_served(self, traffic: Traffic) -> Floats:
        """Return the requests that the candidate's fault spoilt (expected, given the requests)."""
        spoilt = traffic.candidate.requests * traffic.harm
        return numpy.asarray((spoilt * self.weights).sum(axis=0))


class Ledger:
    """Keeps the outcomes of runs that end at different times."""

    def __init__(self, traffic: Traffic) -> None:
        runs = traffic.replications
        self.promoted = numpy.zeros(runs, dtype=bool)
        self.rolled_back = numpy.zeros(runs, dtype=bool)
        self.at = numpy.full(runs, numpy.nan)
        self.weights = numpy.zeros((traffic.scrapes, runs))
        self._scrape = traffic.scrape

    @property
    def running(self) -> Bools:
        """Which runs are still undecided."""
        return ~(self.promoted | self.rolled_back)

    def serve(self, scrapes: slice, weight: Floats) -> None:
        """Note the candidate's weight during some scrapes; a promoted candidate serves everything."""
        share = numpy.where(self.promoted, 1.0, numpy.where(self.rolled_back, 0.0, weight))
        self.weights[scrapes] = share[None, :]

    def end(self, *, promote: Bools, roll_back: Bools, scrape: int) -> None:
        """Note the ends of runs after so many scrapes."""
        running = self.running
        self.promoted |= promote & running
        self.rolled_back |= roll_back & running & ~promote
        self.at[running & (promote | roll_back)] = scrape * self._scrape

    def outcomes(self) -> Outcomes:
        """Return how the runs ended."""
        return Outcomes(promoted=self.promoted, rolled_back=self.rolled_back, at=self.at, weights=self.weights)
