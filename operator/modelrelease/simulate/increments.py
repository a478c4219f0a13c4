"""Evidence straight from the increments that were counted, in the same blocks as from a metrics store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from modelrelease.adapters.prometheus.blocks import Grid, grid, total
from modelrelease.domain.counts import Arm, Block, CustomCount, Evidence, History, Pairs
from modelrelease.domain.plan import Window
from modelrelease.simulate.serving import Serving
from modelrelease.simulate.tape import Row, Tape, Version, infinite
from modelrelease.simulate.world import moment, seconds

QUERY = "the traffic that was given"


@dataclass(frozen=True, kw_only=True)
class Increments:
    """What was served, as evidence. `scores` are the custom metrics that the tape's scores stand for."""

    serving: Serving
    scores: tuple[str, ...] = ()

    def evidence(self, window: Window) -> Evidence:
        """Return the blocks of a window that are complete, and stable's history where it asks for it."""
        tape = self.serving.tape
        made: tuple[Block, ...] = ()
        if window.block is not None:
            over = grid(start=window.start, length=window.block, until=window.end.timestamp() - tape.scrape)
            made = self._blocks(window, over)
        return Evidence(
            start=window.start,
            end=window.end,
            stable=total(block.stable for block in made),
            candidate=total(block.candidate for block in made),
            blocks=made,
            history=None if window.history is None else self._history(window),
            scrape=tape.scrape,
            error_query=QUERY,
            latency_query=QUERY,
        )

    def _blocks(self, window: Window, over: Grid) -> tuple[Block, ...]:
        arms = {version: _by_block(self.serving.counted[version], over) for version in Version}
        length = timedelta(seconds=over.length)
        return tuple(
            Block(
                start=window.start + index * length,
                end=window.start + (index + 1) * length,
                **{version.value: self._arm(found.get(index, ())) for version, found in arms.items()},
            )
            for index in range(over.count)
        )

    def _history(self, window: Window) -> History:
        assert window.history is not None
        end = seconds(window.start)
        scrape = self.serving.tape.scrape
        first = end - window.history
        windows: dict[int, list[Row]] = defaultdict(list)
        for row in self.serving.tape.rows[Version.STABLE]:
            if first < row.t <= end:
                windows[round((row.t - first) / scrape)].append(row)
        begin = min(windows, default=0)
        every = [windows.get(index, []) for index in range(begin, max(windows, default=-1) + 1)]
        pods = sorted({row.pod for rows in every for row in rows})
        return History(
            block=scrape,
            windows=tuple(self._arm(rows) for rows in every),
            by_process=tuple(tuple(self._arm(r for r in rows if r.pod == pod) for pod in pods) for rows in every),
        )

    def _arm(self, rows: Iterable[Row]) -> Arm:
        found = list(rows)
        if not found:
            return Arm()
        within = [sum(counts) for counts in zip(*(row.within for row in found), strict=True)]
        return Arm(
            requests=float(sum(row.requests for row in found)),
            failures=float(sum(row.failures for row in found)),
            latency=tuple(zip(infinite(self.serving.tape.bounds), map(float, within), strict=True)),
            custom=_scores(found, self.scores),
            classes=_classes(found, self.serving.tape.classes),
            pairs=_pairs(found),
        )


def _by_block(rows: Sequence[Row], over: Grid) -> dict[int, list[Row]]:
    """Return the rows of each block of a grid; rows are in the order of time, and those wanted are the last."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in reversed(rows):
        when = moment(row.t).timestamp()
        if when <= over.start:
            break
        if (index := over.index(when)) is not None:
            found[index].append(row)
    return found


def _scores(rows: Iterable[Row], names: Iterable[str]) -> tuple[CustomCount, ...]:
    scores = [row.score for row in rows if row.score is not None]
    bad, count = sum(total for total, _ in scores), float(sum(number for _, number in scores))
    return tuple(CustomCount(name=name, bad=bad, total=count) for name in names)


def _classes(rows: Sequence[Row], names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    counts = [sum(column) for column in zip(*(row.classes for row in rows if row.classes), strict=True)]
    return tuple((name, float(count)) for name, count in zip(names, counts, strict=False))


def _pairs(rows: Iterable[Row]) -> Pairs | None:
    known = [row.pairs for row in rows if row.pairs is not None]
    if not known:
        return None
    count, worse, better = (float(sum(column)) for column in zip(*known, strict=True))
    return Pairs(count=count, worse=worse, better=better)


def scored(tape: Tape) -> bool:
    """Tell whether a tape has scores."""
    return any(row.score is not None for rows in tape.rows.values() for row in rows[:1])
