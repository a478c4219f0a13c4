"""What metrics are computed from, so that exact bounds of one metric and of the difference of two can be had later.

Every class has `value`, `rows`, and `bounds(alpha)`: a lower and an upper bound, each one-sided at level alpha, or
None where no exact bound exists. Combinations share alpha among their parts (Bonferroni), which is exact and careful.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy
from numpy.typing import NDArray

from model_builder import bounds
from model_builder.metrics import Metric

Bounds = tuple[float | None, float | None]


class Evidence(Protocol):
    """What all kinds of it can tell."""

    @property
    def value(self) -> float:
        """The estimate; NaN if there is nothing to estimate it from."""

    @property
    def rows(self) -> int:
        """Number of test rows behind it."""

    def bounds(self, alpha: float) -> Bounds:
        """Lower and upper bound."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A ratio of two sums over independent rows: a share, a mean, tokens right of all tokens, an F1 score.

    Attributes:
        numerators: (n,) between low and high times the denominator.
        denominators: (n,) of at least 0.
        low: smallest possible ratio of a row.
        high: largest possible ratio of a row.
        largest: what no denominator can exceed, known before the data.
    """

    numerators: NDArray[Any]
    denominators: NDArray[Any]
    low: float = 0.0
    high: float = 1.0
    largest: float = 1.0

    @property
    def value(self) -> float:
        """Sum by sum."""
        total = float(self.denominators.sum())
        return float(self.numerators.sum()) / total if total else math.nan

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.numerators)

    @property
    def is_share(self) -> bool:
        """True if each row counts once, as right or wrong."""
        counted = bool((self.denominators == 1).all()) and (self.low, self.high) == (0.0, 1.0)
        return counted and bool(numpy.isin(self.numerators, (0, 1)).all())

    def same_rows(self, other: Rows) -> bool:
        """True if both count the same rows in the same way, so that they can be compared one by one."""
        return self.rows == other.rows and bool((self.denominators == other.denominators).all())

    def bounds(self, alpha: float) -> Bounds:
        """Clopper and Pearson for a share, else by a wealth process."""
        if self.is_share:
            return bounds.share(hits=round(float(self.numerators.sum())), rows=self.rows, alpha=alpha)
        return bounds.ratio(
            numerators=self.numerators / self.largest,
            denominators=self.denominators / self.largest,
            low=self.low,
            high=self.high,
            alpha=alpha,
        )


def share(right: NDArray[Any]) -> Rows:
    """Evidence of a share, from one boolean per row."""
    values = numpy.asarray(right, dtype=float)
    return Rows(values, numpy.ones_like(values))


def mean(values: NDArray[Any], *, low: float, high: float) -> Rows:
    """Evidence of the mean of one number per row, all between low and high by their nature."""
    return Rows(numpy.asarray(values, dtype=float), numpy.ones(len(values)), low=low, high=high)


@dataclass(frozen=True, eq=False)
class ClassF1:
    """The F1 score of one class of single-label rows.

    Of the rows that are of the class, or taken for it, the share q that is both decides it: F1 = 2 q / (1 + q).
    """

    hits: int
    involved: int

    @property
    def value(self) -> float:
        """0 where the class neither occurs nor is ever answered."""
        return self._f1(self.hits / self.involved) if self.involved else 0.0

    @property
    def rows(self) -> int:
        """Rows of the class or taken for it."""
        return self.involved

    def bounds(self, alpha: float) -> Bounds:
        """From those of the share."""
        lower, upper = bounds.share(hits=self.hits, rows=self.involved, alpha=alpha)
        return self._f1(lower), self._f1(upper)

    @staticmethod
    def _f1(part: float) -> float:
        return 2 * part / (1 + part)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Area under the ROC curve of scores of rows that are, and rows that are not, of a class."""

    positive: NDArray[Any]
    negative: NDArray[Any]

    @property
    def value(self) -> float:
        """By ranks."""
        if not len(self.positive) or not len(self.negative):
            return math.nan
        return bounds.area(positive=self.positive, negative=self.negative)

    @property
    def rows(self) -> int:
        """Both kinds of rows."""
        return len(self.positive) + len(self.negative)

    def bounds(self, alpha: float) -> Bounds:
        """By Hoeffding's argument for averages over pairs."""
        return bounds.auroc(positive=self.positive, negative=self.negative, alpha=alpha)


@dataclass(frozen=True, eq=False)
class Quantile:
    """A quantile of values that may be of any size."""

    values: NDArray[Any]
    at: float

    @property
    def value(self) -> float:
        """The smallest value that the given share of the values does not exceed."""
        return float(numpy.quantile(self.values, self.at, method="inverted_cdf")) if len(self.values) else math.nan

    @property
    def rows(self) -> int:
        """Number of values."""
        return len(self.values)

    def bounds(self, alpha: float) -> Bounds:
        """From ranks; None where the rows are too few for one."""
        lower, upper = bounds.quantile(self.values, at=self.at, alpha=alpha)
        return (lower if math.isfinite(lower) else None), (upper if math.isfinite(upper) else None)


@dataclass(frozen=True, eq=False)
class Combined:
    """A number that never falls when one of its parts rises: a mean, the smallest, the largest."""

    parts: tuple[Evidence, ...]
    how: Callable[[list[float]], float]

    @property
    def value(self) -> float:
        """The estimates, combined."""
        return self.how([part.value for part in self.parts])

    @property
    def rows(self) -> int:
        """Those of the part with most: parts may share rows."""
        return max((part.rows for part in self.parts), default=0)

    def bounds(self, alpha: float) -> Bounds:
        """The parts' bounds, combined: all of them hold at once but for alpha."""
        pairs = [part.bounds(alpha / len(self.parts)) for part in self.parts]
        lowers = [low for low, _ in pairs if low is not None]
        uppers = [high for _, high in pairs if high is not None]
        return (
            self.how(lowers) if len(lowers) == len(pairs) else None,
            self.how(uppers) if len(uppers) == len(pairs) else None,
        )


def average(values: list[float]) -> float:
    """For `Combined`: the mean of the parts."""
    return sum(values) / len(values)


@dataclass(frozen=True, eq=False)
class Difference:
    """One number less another."""

    left: Evidence
    right: Evidence

    @property
    def value(self) -> float:
        """The difference of the estimates."""
        return self.left.value - self.right.value

    @property
    def rows(self) -> int:
        """All rows of different sets, which is what this is for."""
        return self.left.rows + self.right.rows

    def bounds(self, alpha: float) -> Bounds:
        """Each side at half of alpha."""
        (low, high), (other_low, other_high) = self.left.bounds(alpha / 2), self.right.bounds(alpha / 2)
        return (
            None if low is None or other_high is None else low - other_high,
            None if high is None or other_low is None else high - other_low,
        )


@dataclass(frozen=True, eq=False)
class Drop:
    """How much the share of right answers fell from one model to another on the same rows."""

    rows: int
    better: int
    worse: int

    @property
    def value(self) -> float:
        """Negative for an improvement."""
        return (self.worse - self.better) / self.rows

    def bounds(self, alpha: float) -> Bounds:
        """The exact paired ones."""
        return bounds.drop(rows=self.rows, better=self.better, worse=self.worse, alpha=alpha)


def difference(own: Evidence, other: Evidence) -> Evidence:
    """Evidence of `own - other`, paired row by row where both are about the same rows."""
    if not (isinstance(own, Rows) and isinstance(other, Rows) and own.same_rows(other)):
        return Difference(own, other)
    if own.is_share and other.is_share:
        return paired(other.numerators > 0, own.numerators > 0)
    return Rows(
        own.numerators - other.numerators,
        own.denominators,
        low=own.low - own.high,
        high=own.high - own.low,
        largest=own.largest,
    )


def paired(now: NDArray[Any], before: NDArray[Any]) -> Drop:
    """From one boolean per row and model."""
    return Drop(rows=len(now), better=int((now & ~before).sum()), worse=int((before & ~now).sum()))


def metric(evidence: Evidence, *, rows: int | None = None) -> Metric:
    """The metric with its bounds, rounded outwards to six digits; `rows` where the evidence counts otherwise."""
    lower, upper = evidence.bounds(bounds.ALPHA)
    return Metric(
        value=rounded(evidence.value),
        rows=evidence.rows if rows is None else rows,
        lower=None if lower is None else math.floor(lower * 1e6) / 1e6,
        upper=None if upper is None else math.ceil(upper * 1e6) / 1e6,
        evidence=evidence,
    )


def rounded(value: float) -> float:
    """Six digits after the point, as all shares are reported."""
    return round(float(value), 6)
