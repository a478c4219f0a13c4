"""Evidence as the metrics give it: the same counts in each block of whatever window is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from modelrelease.adapters.triton import GoldenAnswers
from modelrelease.domain.counts import Arm, Block, Evidence, GoldenCheck, History
from modelrelease.domain.observed import Record, Slot
from modelrelease.domain.plan import Window

SCRAPE = 2.0
_BUCKETS = ((5.0, 900.0), (10.0, 1000.0), (25.0, 1000.0), (50.0, 1000.0), (100.0, 1000.0), (float("inf"), 1000.0))
HEALTHY = Arm(requests=1000.0, failures=1.0, latency=_BUCKETS)
FAILING = Arm(requests=1000.0, failures=400.0, latency=_BUCKETS)
_PAST = History(block=SCRAPE, windows=(HEALTHY,) * 100)


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a thousand requests would show of both, and the candidate's share of them."""

    stable: Arm = HEALTHY
    candidate: Arm = HEALTHY
    weight: float = 0.0


def share(release: Mapping[str, Any]) -> float:
    """Return the candidate's share of the traffic, as a release's status tells."""
    candidate = (release.get("status") or {}).get("candidate") or {}
    return float((candidate.get("weight") or {}).get("desired", 0)) / 100


def right_answers(candidate: Record, stable: Record | None, now: datetime) -> GoldenAnswers:
    """Return golden checks in which everybody answered as expected."""
    asked = [record.revision for record in (candidate, stable) if record is not None]
    return GoldenAnswers(checks=tuple(GoldenCheck(revision=revision, at=now, asked=8) for revision in asked))


def evidence(window: Window, served: Served) -> Evidence:
    """Return what a window of this traffic shows: a hundred thousand requests in each block."""
    if window.block is None:
        return Evidence(start=window.start, end=window.end, scrape=SCRAPE, history=_PAST)
    length = timedelta(seconds=window.block)
    starts = [window.start + i * length for i in range((window.end - window.start) // length)]
    mine, theirs = _times(served.candidate, 100 * served.weight), _times(served.stable, 100 * (1 - served.weight))
    copies = _times(served.candidate, 100) if window.mirror is Slot.PREVIEW else Arm()
    control = _times(served.stable, 100) if window.mirror is Slot.STABLE else theirs
    return Evidence(
        start=window.start,
        end=window.end,
        scrape=SCRAPE,
        stable=_times(theirs, len(starts)),
        candidate=_times(mine, len(starts)),
        blocks=tuple(
            Block(start=start, end=start + length, stable=control, candidate=mine, shadow=copies) for start in starts
        ),
        error_query="counts",
        latency_query="histogram",
    )


def _times(arm: Arm, count: float) -> Arm:
    def whole(number: float) -> float:
        return float(round(number * count)) if math.isfinite(number) else number

    latency = tuple((bound, whole(below)) for bound, below in arm.latency)
    return Arm(requests=whole(arm.requests), failures=whole(arm.failures), latency=latency)
