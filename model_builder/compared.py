"""What whoever judges a build later needs besides the metrics: exact bounds of how far one model differs from another.

A record of this is enough to judge any gate by comparing numbers, without the answers and without any statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from model_builder import bounds
from model_builder.evidence import Bounds, Evidence, Rows, difference, paired
from model_builder.metrics import SOURCE_SUFFIX, STABLE_SUFFIX, Metric

Numbers = list[float | None]

_DIGITS = 1e6
_LARGEST_RATIO = 1024.0
_STEPS = 40


def evidence_of(metrics: Mapping[str, Metric]) -> dict[str, dict[str, Numbers]]:
    """Bounds of every metric of the final model and, where it was measured of another model too, of the change.

    Returns:
        metric -> `half`: lower and upper bound at half of alpha each, for comparisons with rows that are not these;
        `source` and `stable`: bounds of final less other, bounds of final over other (one-sided, 95 %) and, for a
        share of rows, how many rows only the final model and only the other one answers rightly.
    """
    found: dict[str, dict[str, Numbers]] = {}
    for name, metric in metrics.items():
        if name.endswith((SOURCE_SUFFIX, STABLE_SUFFIX)) or metric.evidence is None:
            continue
        found[name] = {"half": _outwards(metric.evidence.bounds(bounds.ALPHA / 2))}
        for suffix in (SOURCE_SUFFIX, STABLE_SUFFIX):
            other = metrics.get(name + suffix)
            if other is not None and other.evidence is not None:
                found[name][suffix.removeprefix(".")] = _change(metric.evidence, other.evidence)
    return found


def _change(own: Evidence, other: Evidence) -> Numbers:
    if own is other:  # the same file gave the same answers: nothing is left to chance
        numbers: Numbers = [0.0, 0.0, 1.0, 1.0]
    else:
        numbers = [*_outwards(difference(own, other).bounds(bounds.ALPHA)), *_outwards(_ratio(own, other))]
    if isinstance(own, Rows) and isinstance(other, Rows) and own.same_rows(other) and own.is_share and other.is_share:
        drop = paired(own.numerators > 0, other.numerators > 0)
        numbers += [drop.better, drop.worse]
    return numbers


def _ratio(own: Evidence, other: Evidence) -> Bounds:
    """Bounds of own / other, each at alpha: what `own - ratio * other >= 0` is proven for, and refuted for.

    Paired by a wealth process where both are about the same rows; else from each side's bounds at half of alpha.
    """
    if isinstance(own, Rows) and isinstance(other, Rows) and own.same_rows(other) and own.low == other.low == 0:

        def is_above(ratio: float) -> bool:
            values = own.numerators - ratio * other.numerators
            return bounds.mean_is_not_negative(values, smallest=-ratio * other.high * own.largest)

        def is_below(ratio: float) -> bool:
            values = ratio * other.numerators - own.numerators
            return bounds.mean_is_not_negative(values, smallest=-own.high * own.largest)

        return _edge(is_above, low=0.0, high=_LARGEST_RATIO), _edge(is_below, low=_LARGEST_RATIO, high=0.0)
    (low, high), (other_low, other_high) = own.bounds(bounds.ALPHA / 2), other.bounds(bounds.ALPHA / 2)
    return (
        low / other_high if low is not None and low >= 0 and other_high is not None and other_high > 0 else None,
        high / other_low if high is not None and high >= 0 and other_low is not None and other_low > 0 else None,
    )


def _edge(holds: Callable[[float], bool], *, low: float, high: float) -> float | None:
    """The last ratio on the way from `low` to `high` for which it holds; None if it does not even hold for `low`."""
    if not holds(low):
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _outwards(pair: Bounds) -> Numbers:
    """Rounded to six digits, so that neither bound says more than it may."""
    low, high = pair
    return [
        None if low is None else math.floor(low * _DIGITS) / _DIGITS,
        None if high is None else math.ceil(high * _DIGITS) / _DIGITS,
    ]
