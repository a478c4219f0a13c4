"""The gateway of the simulation: which share each version has when, and what it therefore counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from modelrelease.domain.observed import FLOOR_PPM, PPM, Mirror, Slot
from modelrelease.simulate.tape import Row, Tape, Version
from modelrelease.simulate.thinning import Whole, keep, split, split_cumulative


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Each version's share of all requests, from a moment on."""

    since: float  # seconds
    stable: float = 1.0
    candidate: float = 0.0
    shadow: float = 0.0

    def of(self, version: Version) -> float:
        """Return one version's share in 0..1."""
        return {Version.STABLE: self.stable, Version.CANDIDATE: self.candidate, Version.SHADOW: self.shadow}[version]


def shares(*, since: float, candidate_ppm: int, mirror: Mirror | None) -> Shares:
    """Return the shares that a route of this weight and mirror makes; the floor is taken for nothing.

    Copies that go to stable are the control of a bake: they are what stable then counts.
    """
    live = 0.0 if candidate_ppm <= FLOOR_PPM else 1.0 if PPM - candidate_ppm <= FLOOR_PPM else candidate_ppm / PPM
    copied = mirror.percent / 100.0 if mirror else 0.0
    to_stable = mirror is not None and mirror.slot is Slot.STABLE
    return Shares(
        since=since,
        stable=min(1.0, 1.0 - live + (copied if to_stable else 0.0)),
        candidate=live,
        shadow=0.0 if to_stable else copied,
    )


@dataclass
class Serving:
    """Serves a tape at the weights in force; remembers them, and what was counted."""

    tape: Tape
    rng: np.random.Generator
    log: list[Shares] = field(default_factory=lambda: [Shares(since=-math.inf)])
    counted: dict[Version, list[Row]] = field(default_factory=lambda: {version: [] for version in Version})
    fault_since: float = math.inf  # when the clock of a late fault started
    resampled: int = 0  # intervals of a recording whose weight was another one

    def change(self, new: Shares) -> None:
        """Take new shares from a moment on; what is before it has been served."""
        self.serve(new.since)
        self.log.append(new)
        late = self.tape.late_fault
        if late is not None and late.begins(new.candidate):
            self.fault_since = min(self.fault_since, new.since)

    def serve(self, until: float) -> None:
        """Count everything up to a moment, row by row in the order of time."""
        for version in Version:
            counted, rows = self.counted[version], self.tape.rows[version]
            while len(counted) < len(rows) and rows[len(counted)].t <= until:
                counted.append(self._count(version, len(counted)))

    def _count(self, version: Version, index: int) -> Row:
        """Return what a version counts in an interval: as recorded at that share, or its part of all the traffic."""
        row = self._as_it_is(version, index)
        share = self._average(version, row.t)
        if self.tape.recorded is not None and row.t > 0.0 and share > 0.0:
            known = self.tape.recorded[version][index]
            if known.fits(share):
                return known.row
            self.resampled += 1
        return thin(row, share, self.rng)

    def _as_it_is(self, version: Version, index: int) -> Row:
        """Return a version's row, the one with the fault where that is in force."""
        row, late = self.tape.rows[version][index], self.tape.late_fault
        if late is None or version not in late.rows or not late.active(row.t, self.fault_since):
            return row
        return late.rows[version][index]

    def _average(self, version: Version, end: float) -> float:
        """Return a version's average share over the interval that ends at a moment."""
        start, total = end - self.tape.scrape, 0.0
        for here, following in _with_next(self.log):
            overlap = min(end, following) - max(start, here.since)
            total += max(0.0, overlap) * here.of(version)
        return min(1.0, total / self.tape.scrape)


def _with_next(log: list[Shares]) -> Iterator[tuple[Shares, float]]:
    for here, following in pairwise(log):
        yield here, following.since
    yield log[-1], math.inf


def thin(row: Row, share: float, rng: np.random.Generator) -> Row:
    """Return what a row counts at a share of the traffic: each request is there with all that is counted of it, or not.

    How the partitions of the same requests overlap is not known; each is split on its own, to the same number.
    """
    if share >= 1.0:
        return row
    if share <= 0.0:
        return _nothing(row)
    kept = int(keep(rng, row.requests, share))
    failures = int(split(rng, _cells(row.failures, of=row.requests), kept)[0])
    within, total = row.within, row.within[-1]
    left = kept if total == row.requests else int(keep(rng, total, share))
    thinned = split_cumulative(rng, np.asarray(within, dtype=np.int64), left)
    classes = split(rng, _cells(*row.classes, of=row.requests), kept)[:-1] if row.classes else ()
    return replace(
        row,
        requests=kept,
        failures=failures,
        within=tuple(int(count) for count in thinned),
        classes=tuple(int(count) for count in classes),
        routed=None if row.routed is None else kept + int(keep(rng, row.routed - row.requests, share)),
        score=_thin_score(row, kept, share, rng),
        pairs=_thin_pairs(row, share, rng),
    )


def _cells(*parts: int, of: int) -> Whole:
    return np.asarray([*parts, of - sum(parts)], dtype=np.int64)


def _thin_score(row: Row, kept: int, share: float, rng: np.random.Generator) -> tuple[float, int] | None:
    """Return the scores of the kept requests: their sum by their number, as single scores are not known."""
    if row.score is None:
        return None
    total, count = row.score
    left = kept if count == row.requests else int(keep(rng, count, share))
    return (total * left / count if count else 0.0), left


def _thin_pairs(row: Row, share: float, rng: np.random.Generator) -> tuple[int, int, int] | None:
    if row.pairs is None:
        return None
    pairs, worse, better = row.pairs
    kept = int(keep(rng, pairs, share))
    parts = split(rng, _cells(worse, better, of=pairs), kept)
    return kept, int(parts[0]), int(parts[1])


def _nothing(row: Row) -> Row:
    return replace(
        row,
        requests=0,
        failures=0,
        within=(0,) * len(row.within),
        classes=(0,) * len(row.classes),
        routed=None if row.routed is None else 0,
        score=None if row.score is None else (0.0, 0),
        pairs=None if row.pairs is None else (0, 0, 0),
    )
