"""From blocks to arrays: what each metric counted in each block, and what made no sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy
from numpy.typing import NDArray

from modelrelease.domain.analysis.kernel import Counts
from modelrelease.domain.analysis.metrics import MOST, CountsError, Metric
from modelrelease.domain.counts import Arm, Block


@dataclass(frozen=True, kw_only=True)
class Look:
    """The blocks of one look. Counts have shape (T, 2 * metrics): live lanes, then mirrored ones."""

    counts: Counts
    blocks: int
    settled: NDArray[numpy.bool_]  # (T,): the blocks after the warm-up
    requests: tuple[float, float]  # candidate's and stable's, in settled blocks
    shadowed: bool  # there were answers to mirrored requests
    problems: dict[str, str]  # metric -> what was wrong with its counts


def counted(metric: Metric, arm: Arm) -> tuple[float, float]:
    """Return bad and all of one arm; nothing where they make no sense."""
    try:
        return metric.count(arm)
    except CountsError:
        return 0.0, 0.0


def read(
    known: Sequence[Metric],
    blocks: Sequence[Block],
    *,
    warm: datetime | None = None,
    unheard: int = 0,
    problems: Mapping[str, str] | None = None,
) -> Look:
    """Return the counts of blocks. A metric whose counts make no sense in a block counts nothing in it.

    Blocks that begin before `warm` have failures alone: who is slow at first may only be cold.
    The first `unheard` blocks chose the latency bounds and are no evidence about them. `problems`
    are those that are known already.
    """
    problems = dict(problems or {})
    settled = [warm is None or block.start >= warm for block in blocks]
    rows = [
        _row(_heard(known, settled=after, latency=place >= unheard), block, problems)
        for place, (block, after) in enumerate(zip(blocks, settled, strict=True))
    ]
    table = numpy.array(rows, dtype=float).reshape(len(blocks), 2 * len(known), 4)
    shadowed = any(block.shadow.requests > 0 for block in blocks)
    sound = [
        b
        for b, after in zip(blocks, settled, strict=True)
        if after and 0 <= b.candidate.requests <= MOST and 0 <= b.stable.requests <= MOST
    ]
    return Look(
        counts=Counts(*(table[:, :, i] for i in range(4))),
        blocks=len(blocks),
        settled=numpy.array(settled, dtype=bool),
        requests=(sum(b.candidate.requests for b in sound), sum(b.stable.requests for b in sound)),
        shadowed=shadowed,
        problems=problems,
    )


_NOTHING = (0.0, 0.0, 0.0, 0.0)


def _heard(known: Sequence[Metric], *, settled: bool, latency: bool) -> list[Metric | None]:
    """Return the metrics that count in a block, None in place of the others."""
    return [m if (settled or m.failures) and (latency or not m.latency) else None for m in known]


def _row(known: Sequence[Metric | None], block: Block, problems: dict[str, str]) -> list[tuple[float, ...]]:
    """Return the counts of all lanes in one block; None is a metric that does not count in it."""
    live: list[tuple[float, ...]] = []
    mirrored: list[tuple[float, ...]] = []
    for metric in known:
        if metric is None:
            live.append(_NOTHING)
            mirrored.append(_NOTHING)
            continue
        found: dict[str, tuple[float, float]] = {}
        for name, arm in (("stable", block.stable), ("the candidate", block.candidate), ("the mirror", block.shadow)):
            try:
                found[name] = metric.count(arm)
            except CountsError as error:
                found[name] = (0.0, 0.0)
                problems[metric.name] = f"{name}'s {error} (block of {block.start:%H:%M:%S})"
        stable, candidate, shadow = found.values()
        if metric.margin is None:  # one-sample: as many imagined requests of stable keep the tempering's formula right
            live.append((0.0, candidate[1], *candidate))
            mirrored.append((0.0, shadow[1], *shadow))
        else:
            live.append((*stable, *candidate) if candidate[1] > 0 or stable[1] > 0 else _NOTHING)
            mirrored.append((*stable, *shadow) if shadow[1] > 0 else _NOTHING)
    return [*live, *mirrored]
