"""Whether a candidate keeps up with the copies it gets: what of them is under way, and what the gateway dropped.

By Little's law requests under way are their rate times how long they take. Copies come with the
requests that are answered, at most one for each: many times as many copies under way as answered
requests is a queue that grows, whatever the rate is. It takes a few scrapes in a row to tell; a copy
that the gateway had to drop tells at once, for by then more than a thousand others wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence

from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.increments import Layout, Target
from modelrelease.adapters.prometheus.sampled import Sampled

ACTIVE = "envoy_cluster_upstream_rq_active"
DROPPED = "envoy_cluster_upstream_rq_pending_overflow"
_CLUSTER = "envoy_cluster_name"

SCRAPES = 3  # in a row, at each of which too many were under way
MOST_COPIES = 32  # under way, that are no reason to look any further
MOST_TIMES = 10.0  # as many as the answered requests under way
RECENT_SECONDS = 60.0  # a drop before that was told by an earlier look


def saturated(found: Sampled, *, copies: Container[str], answered: Container[str], layout: Layout) -> str:
    """Return in words why the candidate can take no more copies; nothing where it can.

    `copies` and `answered` are the clusters of the copies and of the requests that clients wait for.
    """
    newest = found.newest
    if newest is None:
        return ""
    recent = (
        (step, one.labels)
        for one in found.steps
        for when, step in one.steps
        if newest - when <= RECENT_SECONDS and one.labels.get("__name__") == DROPPED
    )
    dropped = sum(step for step, labels in recent if labels.get(_CLUSTER) in copies)
    if dropped > 0:
        return f"the gateway had to drop {dropped:.0f} copies, for the candidate does not answer as fast as they come"
    waiting, normal = (_under_way(found, clusters, layout) for clusters in (copies, answered))
    if min(waiting) < MOST_COPIES or any(w < MOST_TIMES * n for w, n in zip(waiting, normal, strict=True)):
        return ""
    return f"the candidate has {waiting[-1]:.0f} copies under way, where the clients' own requests are {normal[-1]:.0f}"


def _under_way(found: Sampled, clusters: Container[str], layout: Layout) -> Sequence[float]:
    """Return the requests under way at the last scrapes, oldest first, summed over the gateway's pods."""
    last: dict[Target, Sequence[float]] = {
        target: times[-SCRAPES:] for target, times in found.scraped.items() if len(times) >= SCRAPES
    }
    sums: dict[int, float] = defaultdict(float)
    for series in found.series:
        if series.labels.get("__name__") != ACTIVE or series.labels.get(_CLUSTER) not in clusters:
            continue
        for place, value in _at(series, last.get(layout.target(series), ())):
            sums[place] += value
    return [sums[place] for place in range(SCRAPES)]


def _at(series: Series, moments: Sequence[float]) -> Sequence[tuple[int, float]]:
    values = dict(series.samples)
    return [(place, values[when]) for place, when in enumerate(moments) if when in values]
