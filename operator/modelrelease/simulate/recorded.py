"""Recorded production traffic of a release as a tape: as it was at the recorded weights, resampled at others.

What a version would have done with more or less traffic is not recorded. It is drawn from what
it did: whole scrape intervals of the version, at random with replacement from those within
`NEAR` seconds (from all where there are none), until there are as many requests as wanted.
Intervals stay whole, so that requests that failed together still do.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelrelease.domain.counts import Arm, Block
from modelrelease.simulate.tape import ASSUMED_BOUND, Recorded, Row, Tape, Version, plain_histogram
from modelrelease.simulate.thinning import split, split_cumulative

NEAR = 600.0
LEAST_BLOCKS = 8  # of the candidate: with less there is nothing to draw from

NOTES = (
    "at the recorded weights the traffic is as recorded, at others it is resampled "
    "in whole intervals from what each version served",
)


class NothingRecorded(ValueError):  # noqa: N818 - named for what it tells
    """There is no release in the recorded time."""


def tape_of_blocks(blocks: Sequence[Block], *, scrape: float, seed: int) -> Tape:
    """Return the tape of recorded blocks of `scrape` seconds; time 0 is when the candidate got its first request.

    Raises:
        NothingRecorded: the candidate had traffic in hardly any of them, or stable in none.

    """
    used = [index for index, block in enumerate(blocks) if block.candidate.requests or block.shadow.requests]
    served = any(block.stable.requests for block in blocks)
    if len(used) < LEAST_BLOCKS or not served:
        raise NothingRecorded(
            f"the candidate had traffic in {len(used)} of {len(blocks)} recorded intervals, "
            f"at least {LEAST_BLOCKS} are needed: choose a time in which a release was under way"
        )
    bounds = _bounds(blocks)
    # A block in which nothing was scraped has no row.
    timed = [
        (scrape * (index - used[0] + 1), block)
        for index, block in enumerate(blocks)
        if block.stable != Arm() or block.candidate != Arm() or block.shadow != Arm()
    ]
    rng = np.random.default_rng([seed, 1])
    rows: dict[Version, tuple[Row, ...]] = {}
    recorded: dict[Version, tuple[Recorded, ...]] = {}
    for version in Version:
        mine = [
            (_row(t, getattr(block, version.value), bounds), round(block.stable.requests + block.candidate.requests))
            for t, block in timed
            if t > 0.0 or version is Version.STABLE
        ]
        pool = _Pool(rows=tuple(row for row, _ in mine if row.requests), buckets=len(bounds) + 1, rng=rng)
        rows[version] = tuple(pool.draw(row.t, total) if row.t > 0.0 else row for row, total in mine)
        recorded[version] = tuple(
            Recorded(row=row, share=row.requests / total if total else 0.0) for row, total in mine
        )
    return Tape(rows=rows, scrape=scrape, bounds=bounds, recorded=recorded, notes=NOTES)


def _bounds(blocks: Sequence[Block]) -> tuple[float, ...]:
    """Return the finite latency bounds that every arm with a histogram has."""
    arms = [arm for block in blocks for arm in (block.stable, block.candidate, block.shadow) if arm.latency]
    shared = set.intersection(*({bound for bound, _ in arm.latency} for arm in arms)) if arms else set()
    return tuple(sorted(bound for bound in shared if bound < float("inf"))) or (ASSUMED_BOUND,)


def _row(t: float, arm: Arm, bounds: tuple[float, ...]) -> Row:
    requests = round(arm.requests)
    counts = dict(arm.latency)
    within = [round(counts.get(bound, 0.0)) for bound in (*bounds, float("inf"))]
    return Row(
        t=t,
        requests=requests,
        failures=min(round(arm.failures), requests),
        within=tuple(np.maximum.accumulate(within).tolist()) if counts else plain_histogram(requests),
    )


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """The intervals in which a version had requests, by time."""

    rows: tuple[Row, ...]
    buckets: int
    rng: np.random.Generator

    def draw(self, t: float, total: int) -> Row:
        """Return an interval of exactly `total` requests, or an empty one where nothing was ever served."""
        near = self._near(t)
        if not near or not total:
            return Row(t=t, requests=0, failures=0, within=(0,) * self.buckets)
        cells, within, found = np.zeros(2, dtype=np.int64), np.zeros(len(near[0].within), dtype=np.int64), 0
        while found < total:
            row = near[int(self.rng.integers(len(near)))]
            cells += np.array([row.failures, row.requests - row.failures])
            within += np.array(row.within)
            found += row.requests
        kept = split(self.rng, cells, total)
        timed = min(total, int(within[-1]))
        return Row(
            t=t,
            requests=total,
            failures=int(kept[0]),
            within=tuple(int(count) for count in split_cumulative(self.rng, within, timed)),
        )

    def _near(self, t: float) -> Sequence[Row]:
        first = bisect_left(self.rows, t - NEAR, key=lambda row: row.t)
        last = bisect_right(self.rows, t + NEAR, key=lambda row: row.t)
        return self.rows[first:last] or self.rows
