"""What many runs of one rule on one cell come to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from benchmarks.decisions.outcomes import Outcomes
from benchmarks.decisions.traffic import Floats, Traffic

_MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """The runs of one chunk, one value each; chunks are joined before anything is said of them."""

    promoted: Floats
    rolled_back: Floats
    minutes: Floats  # from the first weight to the end; NaN where undecided
    since_fault: Floats  # from the fault's onset to the rollback; NaN where there was none
    bad: Floats  # spoilt requests served until the end of the traffic
    early: Floats  # rolled back before the fault began


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One rule on one cell; ratios in 0..1, times in minutes."""

    runs: int
    promoted: float
    rolled_back: float
    undecided: float
    rolled_back_upper: float  # one-sided 95 % bound, Clopper and Pearson
    promoted_upper: float
    minutes_promoted: float | None  # median
    minutes_rolled_back: float | None  # median from the fault's onset
    bad_median: float
    bad_p95: float
    early: float

    def to_json(self) -> dict[str, Any]:
        """As it is kept between runs."""
        return asdict(self)


def part(outcomes: Outcomes, *, traffic: Traffic, onset: Floats | float) -> Part:
    """Return what one chunk of runs came to; `onset` is when each run's fault began, in seconds."""
    since = numpy.where(outcomes.rolled_back, outcomes.at - onset, numpy.nan)
    return Part(
        promoted=outcomes.promoted.astype(float),
        rolled_back=outcomes.rolled_back.astype(float),
        minutes=outcomes.at / _MINUTE,
        since_fault=numpy.where(since >= 0, since, numpy.nan) / _MINUTE,
        bad=outcomes.bad_served(traffic),
        early=(since < 0).astype(float),
    )


def summarize(parts: list[Part]) -> Summary:
    """Return the summary of all chunks."""
    promoted, rolled_back, minutes, since, bad, early = (
        numpy.concatenate([getattr(one, name) for one in parts])
        for name in ("promoted", "rolled_back", "minutes", "since_fault", "bad", "early")
    )
    runs = len(promoted)
    return Summary(
        runs=runs,
        promoted=float(promoted.mean()),
        rolled_back=float(rolled_back.mean()),
        undecided=float(1.0 - (promoted + rolled_back).mean()),
        rolled_back_upper=upper(int(rolled_back.sum()), runs),
        promoted_upper=upper(int(promoted.sum()), runs),
        minutes_promoted=_median(minutes[promoted > 0]),
        minutes_rolled_back=_median(since[~numpy.isnan(since)]),
        bad_median=float(numpy.median(bad)),
        bad_p95=float(numpy.quantile(bad, 0.95)),
        early=float(early.mean()),
    )


def upper(hits: int, runs: int) -> float:
    """Return the one-sided 95 % bound of a share after Clopper and Pearson."""
    return 1.0 if hits == runs else float(stats.beta.ppf(0.95, hits + 1, runs - hits))


def _median(values: NDArray[numpy.float64]) -> float | None:
    return float(numpy.median(values)) if len(values) else None
