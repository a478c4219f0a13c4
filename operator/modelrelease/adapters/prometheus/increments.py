"""From samples of counters to what each scrape added. Pure, and the same whatever is read with it.

A count belongs to the scrape that first shows it. Within one process all series are read by
the same scrapes, so that a series that is not in a scrape was not there:

- A counter that appears at a later scrape of its process started at zero: gateways make a
  counter when they first count with it, the first failures included.
- A counter that falls was reset, and with it all counters that are made and forgotten
  together: what they show then, they counted since.
- A process that was not scraped for `GAP_SECONDS` is taken for a new one. What a process had
  counted at its first scrape nobody saw happen; it may belong to another revision.

What a scrape adds depends on the scrapes of the `GAP_SECONDS` before it and on nothing else:
whoever reads from that long before a moment gets the same numbers after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelrelease.adapters.prometheus.client import Series

GAP_SECONDS = 300.0

Target = frozenset[tuple[str, str]]
Scrapes = Mapping[Target, Sequence[float]]

# What Prometheus and its service discovery put on every series of a target. `service` and `cluster` are not among
# them: they are as often a counter's own.
_TARGET_LABELS = frozenset(
    {"job", "instance", "namespace", "pod", "container", "endpoint", "node"}
    | {"prometheus", "prometheus_replica", "replica"}
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a source's labels are to be read.

    Attributes:
        series: the labels that tell the series of one process apart, so that all others tell processes
            apart; None where they are not known: then what every target has tells processes apart.
        together: the labels of what is made and forgotten as one, such as a gateway's cluster.
        gauges: the names of series that may fall.

    """

    series: frozenset[str] | None = None
    together: tuple[str, ...] = ()
    gauges: frozenset[str] = frozenset()

    def own(self, series: Series) -> Target:
        """Return the labels that tell a series from others of its process."""
        return frozenset(pair for pair in series.labels.items() if self._is_own(pair[0]))

    def target(self, series: Series) -> Target:
        """Return the scraped process that a series comes from."""
        return frozenset(pair for pair in series.labels.items() if not self._is_own(pair[0]))

    def _is_own(self, label: str) -> bool:
        return label not in _TARGET_LABELS if self.series is None else label in self.series


@dataclass(frozen=True, kw_only=True)
class Steps:
    """What one series counted: (time of the scrape, increase), only where there was one; of a gauge, its changes."""

    labels: Mapping[str, str]
    target: Target
    steps: tuple[tuple[float, float], ...]


def scrapes(found: Iterable[Series], *, layout: Layout) -> Scrapes:
    """Return when each process was scraped, as far as its series tell."""
    times: dict[Target, set[float]] = defaultdict(set)
    for series in found:
        if series.samples:
            times[layout.target(series)].update(when for when, _ in series.samples)
    return {target: sorted(moments) for target, moments in times.items()}


def increments(found: Sequence[Series], *, layout: Layout) -> tuple[Steps, ...]:
    """Return what each scrape added to each series."""
    before = {target: dict(_before(times)) for target, times in scrapes(found, layout=layout).items()}
    targets = [layout.target(series) for series in found]
    begun = _begun(found, targets, before, layout)
    return tuple(
        Steps(
            labels=series.labels,
            target=target,
            steps=tuple(_steps(series, before[target], begun[_family(series, target, layout)])),
        )
        for series, target in zip(found, targets, strict=True)
        if series.samples
    )


def _before(times: Sequence[float]) -> Iterable[tuple[float, float]]:
    """Yield (scrape, the one before), where the process was not out of sight in between."""
    return ((now, last) for last, now in pairwise(times) if now - last <= GAP_SECONDS)


def _family(series: Series, target: Target, layout: Layout) -> tuple[Target, tuple[str, ...]]:
    return target, tuple(series.labels.get(label, "") for label in layout.together)


def _begun(
    found: Iterable[Series], targets: Iterable[Target], before: Mapping[Target, Mapping[float, float]], layout: Layout
) -> Mapping[tuple[Target, tuple[str, ...]], set[float]]:
    """Return the scrapes at which counters showed that they had started anew."""
    begun: dict[tuple[Target, tuple[str, ...]], set[float]] = defaultdict(set)
    for series, target in zip(found, targets, strict=True):
        if series.labels.get("__name__") in layout.gauges:
            continue
        fell = {
            when
            for (last, value), (when, now) in pairwise(series.samples)
            if now < value and before[target].get(when) == last
        }
        begun[_family(series, target, layout)] |= fell
    return begun


def _steps(series: Series, before: Mapping[float, float], begun: set[float]) -> Iterable[tuple[float, float]]:
    seen_at, seen = None, 0.0
    for when, value in series.samples:
        previous = before.get(when)
        if previous is not None:
            step = value if seen_at != previous or when in begun else value - seen
            if step:
                yield when, step
        seen_at, seen = when, value
