"""What a source of metrics has to say of itself."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol as Interface

from modelrelease.adapters.prometheus.blocks import Count, Tally
from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.increments import Layout
from modelrelease.adapters.prometheus.sampled import Sampled
from modelrelease.domain.observed import Meta, Protocol, Slot


@dataclass(frozen=True, kw_only=True)
class Selector:
    """The series of some names whose `label` has one of some values. Questions that differ in values alone are one."""

    names: tuple[str, ...]
    label: str
    values: frozenset[str]
    matchers: tuple[tuple[str, str], ...] = ()  # (label, value) that all of them have

    def __str__(self) -> str:
        parts = [_matcher("__name__", self.names)] if len(self.names) > 1 else []
        parts += [_matcher(label, (value,)) for label, value in self.matchers]
        parts.append(_matcher(self.label, sorted(self.values)))
        return f"{'' if len(self.names) > 1 else self.names[0]}{{{','.join(parts)}}}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be read for one release, and how its arms come out of it.

    `arms` makes the tallies (`stable`, `candidate`, `shadow`) once all series are known.
    """

    counts: Selector
    latency: Selector
    stable: frozenset[str]  # the values of the selectors that are stable's, for its history
    arms: Callable[[Sequence[Series]], Mapping[str, Tally]]
    absent: str  # the sentence for when nothing of it is there
    saturated: Callable[[Sampled], str]  # why the candidate can take no more copies, in words


class Preset(Interface):
    """A source of metrics that counts requests by slot."""

    @property
    def layout(self) -> Layout:
        """How the labels of its series are to be read."""

    def question(self, *, meta: Meta, protocols: Sequence[Protocol], mirror: Slot | None) -> Question:
        """Return what to read for a release; `mirror` is who gets copies of its requests."""


def histogram(counted: Iterable[Count], *, bounds: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return the sum of cumulative buckets at some bounds, whichever of them have counts."""
    sums = dict.fromkeys(bounds, 0.0)
    for one in counted:
        bound = bound_of(one.labels)
        if bound is not None and bound in sums:
            sums[bound] += one.increase
    return tuple((bound, sums[bound]) for bound in bounds)


def shared_bounds(found: Iterable[Series], *, of: Callable[[Series], Hashable]) -> tuple[float, ...]:
    """Return the bounds that all histograms among the series have; `of` tells which one a bucket belongs to."""
    bounds: dict[Hashable, set[float]] = defaultdict(set)
    for series in found:
        if (bound := bound_of(series.labels)) is not None:
            bounds[of(series)].add(bound)
    return tuple(sorted(set.intersection(*bounds.values()))) if bounds else ()


def bound_of(labels: Mapping[str, str]) -> float | None:
    """Return the upper bound of a bucket, None where the series is none."""
    return _bound(labels.get("le", ""))


@lru_cache(maxsize=1024)
def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


def _matcher(label: str, values: Sequence[str]) -> str:
    if len(values) == 1:
        return f'{label}="{_quoted(values[0])}"'
    # re.escape escapes hyphens as well, which RE2 refuses outside of a class.
    return f'{label}=~"{_quoted("|".join(re.escape(value).replace(chr(92) + "-", "-") for value in values))}"'


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
