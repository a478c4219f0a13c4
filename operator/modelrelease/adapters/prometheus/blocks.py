"""Counts on a grid of blocks: what the analysis looks at. Pure.

Block i of a grid is the time (start + i * length, start + (i + 1) * length]. It holds what the
scrapes in it added, so that over all blocks no count is lost and none is there twice; both arms
of one scrape are in the same block. A block is complete, and will not change any more, when

- every process that is still scraped has been scraped at its end or later, and
- one scrape has passed since its end: what is scraped takes a moment until it can be asked for.

A process that is out for more than `PATIENCE` scrapes is not waited for. What it adds when it
comes back is in the block in which it comes back.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from modelrelease.adapters.prometheus.increments import Scrapes, Steps, Target
from modelrelease.domain.counts import Arm, Block, CustomCount

PATIENCE = 2.5  # scrapes: one may fail without anybody being away

_EDGE = 1e-6  # of a block: where times as numbers have lost their last digits


@dataclass(frozen=True, kw_only=True)
class Count:
    """What one series counted in one block; of a gauge, by how much it rose."""

    labels: Mapping[str, str]
    target: Target
    increase: float


Tally = Callable[[Iterable[Count]], Arm]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """`count` blocks of `length` seconds from `start` (unix seconds)."""

    start: float
    length: float
    count: int

    def index(self, when: float) -> int | None:
        """Return the block that a moment is in, if it is in one."""
        index = math.ceil((when - self.start) / self.length - _EDGE) - 1
        return index if 0 <= index < self.count else None


def grid(*, start: datetime, length: float, until: float) -> Grid:
    """Return the grid of the blocks from `start` that end at `until` (unix seconds) or before."""
    begin = start.timestamp()
    return Grid(start=begin, length=length, count=math.floor((max(until, begin) - begin) / length + _EDGE))


def spacing(scraped: Scrapes) -> float | None:
    """Return the usual time between two scrapes of a process, in seconds; None before there are two."""
    gaps = [after - before for times in scraped.values() for before, after in pairwise(times)]
    # Scrapes jitter by milliseconds; a length with few digits keeps the edges of blocks exact.
    return max(0.1, round(statistics.median(gaps), 1)) if gaps else None


def complete_until(scraped: Scrapes, *, scrape: float, end: datetime) -> float:
    """Return the moment (unix seconds) up to which no block will change any more; -inf without any scrape."""
    newest = [times[-1] for times in scraped.values()]
    latest = max(newest, default=-math.inf)
    return min(end.timestamp() - scrape, *(when for when in newest if latest - when <= PATIENCE * scrape), latest)


def counts(found: Iterable[Steps], over: Grid) -> Mapping[int, Sequence[Count]]:
    """Return the counts of each block in which there are any."""
    blocks: dict[int, list[Count]] = defaultdict(list)
    for series in found:
        sums: dict[int, float] = defaultdict(float)
        for when, step in series.steps:
            if (index := over.index(when)) is not None:
                sums[index] += step
        for index, total in sums.items():
            blocks[index].append(Count(labels=series.labels, target=series.target, increase=total))
    return blocks


def scraped_blocks(scraped: Scrapes, over: Grid) -> frozenset[int]:
    """Return the blocks in which any process was scraped; the others say nothing."""
    found = (over.index(when) for times in scraped.values() for when in times)
    return frozenset(index for index in found if index is not None)


def blocks(
    found: Iterable[Steps], over: Grid, *, start: datetime, scraped: Scrapes, arms: Mapping[str, Tally]
) -> tuple[Block, ...]:
    """Return the blocks of a grid; `arms` makes each of a block's arms from its counts."""
    counted, seen = counts(found, over), scraped_blocks(scraped, over)
    length = timedelta(seconds=over.length)
    made = []
    for index in range(over.count):
        filled = {name: tally(counted.get(index, ())) for name, tally in arms.items()} if index in seen else {}
        made.append(Block(start=start + index * length, end=start + (index + 1) * length, **filled))
    return tuple(made)


def windows(found: Iterable[Steps], over: Grid, *, scraped: Scrapes, tally: Tally) -> tuple[Arm, ...]:
    """Return one arm for each block of a grid, from the first block on in which there was a scrape."""
    counted, seen = counts(found, over), scraped_blocks(scraped, over)
    first = min(seen, default=over.count)
    return tuple(tally(counted.get(index, ())) if index in seen else Arm() for index in range(first, over.count))


def windows_by_process(
    found: Sequence[Steps], over: Grid, *, scraped: Scrapes, tally: Tally
) -> tuple[tuple[Arm, ...], ...]:
    """Return `windows` split by process: for each block one arm of each process, in one order."""
    seen = scraped_blocks(scraped, over)
    targets = sorted(scraped, key=sorted)
    mine: dict[Target, list[Steps]] = defaultdict(list)
    for series in found:
        mine[series.target].append(series)
    counted = [(counts(mine[target], over), scraped_blocks({target: scraped[target]}, over)) for target in targets]
    return tuple(
        tuple(tally(own.get(index, ())) if index in there else Arm() for own, there in counted)
        for index in range(min(seen, default=over.count), over.count)
    )


def total(arms: Iterable[Arm]) -> Arm:
    """Return the sum of arms, at the bucket bounds that all of them have that have any."""
    found = list(arms)
    latency: dict[float, list[float]] = defaultdict(list)
    used = 0
    for arm in found:
        used += bool(arm.latency)
        for bound, number in arm.latency:
            latency[bound].append(number)
    return Arm(
        requests=sum(arm.requests for arm in found),
        failures=sum(arm.failures for arm in found),
        latency=tuple((bound, sum(latency[bound])) for bound in sorted(latency) if len(latency[bound]) == used),
        custom=_custom(found),
    )


def _custom(arms: Iterable[Arm]) -> tuple[CustomCount, ...]:
    sums: dict[str, tuple[float, float]] = {}
    for one in (count for arm in arms for count in arm.custom):
        bad, all_ = sums.get(one.name, (0.0, 0.0))
        sums[one.name] = bad + one.bad, all_ + one.total
    return tuple(CustomCount(name=name, bad=bad, total=all_) for name, (bad, all_) in sums.items())
