"""From samples of counters to what was counted since a moment. Pure.

A window begins, for each process that is scraped, at its first scrape in the window, and
what came before is not counted: it may belong to another revision. Within one process all
counters are read by the same scrapes. So a counter that appears at a later scrape was not
there before and started at zero: gateways make a counter when they first count with it,
the first failures included. A counter that falls has been reset and started at zero again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from modelrelease.adapters.prometheus.client import MetricsError, Series

Target = frozenset[tuple[str, str]]

# What tells the series of one process apart; all other labels tell processes apart.
SERIES_LABELS = frozenset(
    {
        "__name__",
        "envoy_cluster_name",
        "envoy_response_code_class",
        "envoy_grpc_bridge_service",
        "envoy_grpc_bridge_method",
        "le",
    }
)


@dataclass(frozen=True, kw_only=True)
class Count:
    """What one series counted in the window; `change` is last less first value, as a gauge needs it."""

    labels: Mapping[str, str]
    target: Target
    increase: float
    change: float


def target_of(series: Series) -> Target:
    """Return the scraped process that a series comes from."""
    return frozenset((k, v) for k, v in series.labels.items() if k not in SERIES_LABELS)


def scrapes(found: Iterable[Series]) -> dict[Target, list[float]]:
    """Return when each process was scraped, as far as its series tell."""
    times: dict[Target, set[float]] = defaultdict(set)
    for series in found:
        times[target_of(series)].update(when for when, _ in series.samples)
    return {target: sorted(moments) for target, moments in times.items()}


def count(found: Iterable[Series], *, since: float, scraped: Mapping[Target, Iterable[float]]) -> list[Count]:
    """Return what the series counted from the first scrape at or after `since`."""
    starts = {target: next((t for t in times if t >= since), None) for target, times in scraped.items()}
    counts = []
    for series in found:
        target = target_of(series)
        start = starts.get(target)
        samples = [] if start is None else [sample for sample in series.samples if sample[0] >= start]
        if not samples:
            continue
        first = samples[0][1] if samples[0][0] == start else 0.0
        increase, last = 0.0, first
        for _, value in samples:
            increase += value - last if value >= last else value
            last = value
        counts.append(Count(labels=series.labels, target=target, increase=increase, change=last - first))
    return counts


def check_unique(found: Iterable[Series]) -> None:
    """Raise if one process seems to be counted twice.

    Two scrape jobs on the same pods, or two replicas of Prometheus behind one query front
    end, give each counter twice: half as many requests would look like proof. Series of one
    pod that follow each other are a pod that was replaced under its name.

    Raises:
        MetricsError: two series of one pod and one counter overlap in time.

    """
    same: dict[Target, list[Series]] = defaultdict(list)
    for series in found:
        if series.samples:
            own = frozenset((k, v) for k, v in series.labels.items() if k in SERIES_LABELS)
            same[own | _process(series)].append(series)
    for group in same.values():
        group.sort(key=lambda series: (series.samples[0][0], str(series)))
        for before, after in pairwise(group):
            if after.samples[0][0] <= before.samples[-1][0]:
                raise _collision(before, after)


def _process(series: Series) -> Target:
    """Return what identifies a pod: its name where service discovery tells it, else its address."""
    names = ("namespace", "pod") if "pod" in series.labels else ("instance",)
    return frozenset((name, series.labels.get(name, "")) for name in names)


def _collision(one: Series, other: Series) -> MetricsError:
    differ = sorted(k for k in one.labels.keys() | other.labels.keys() if one.labels.get(k) != other.labels.get(k))
    told = ", ".join(f'{k}="{one.labels.get(k, "")}" and "{other.labels.get(k, "")}"' for k in differ)
    pod = one.labels.get("pod") or one.labels.get("instance") or "the gateway"
    return MetricsError(
        reason="MetricsAmbiguous",
        message=f"Prometheus has {one.labels.get('__name__', 'a counter')} of {pod} twice, with {told}: "
        "every request would count twice; scrape each gateway pod by one job only, or deduplicate replicas",
    )
