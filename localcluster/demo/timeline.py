"""From single requests and moments to what is told at the end. Pure."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from localcluster.demo.records import Count, Moment, Request

NOBODY = "no answer"
_NUMBER = re.compile(r"\d+")


def by_version(counts: Mapping[str, Count], *, names: Mapping[str, str]) -> dict[str, Count]:
    """Return counts by version from counts by revision; a revision that nobody knows keeps its own name."""
    found: dict[str, Count] = defaultdict(Count)
    for revision, count in counts.items():
        name = names.get(revision, revision) or NOBODY
        found[name] = Count(ok=found[name].ok + count.ok, failed=found[name].failed + count.failed)
    return dict(sorted(found.items()))


def tally(requests: Iterable[Request]) -> dict[str, Count]:
    """Count requests by revision."""
    found: dict[str, Count] = defaultdict(Count)
    for request in requests:
        count = found[request.revision]
        found[request.revision] = Count(ok=count.ok + request.ok, failed=count.failed + (not request.ok))
    return dict(found)


def lost(requests: Iterable[Request], *, names: Mapping[str, str], expected: str) -> list[Request]:
    """Return the failed requests that the version which is expected to fail has not answered itself.

    An answer tells by its header who gave it. One without header is nobody's, and counts as lost.
    """
    return [request for request in requests if not request.ok and names.get(request.revision) != expected]


def failures(requests: Iterable[Request]) -> list[tuple[str, int]]:
    """Return what failures said, the most frequent first; where only numbers differ, one stands for all."""
    kinds: dict[str, str] = {}
    found: Counter[str] = Counter()
    for request in requests:
        if not request.ok:
            found[kinds.setdefault(_NUMBER.sub("#", request.error), request.error)] += 1
    return found.most_common()


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value that this share of all values does not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def phase_seconds(moments: Sequence[Moment], *, end: float) -> dict[str, dict[str, float]]:
    """Return for each act how long the release was in each phase, in order of appearance."""
    found: dict[str, dict[str, float]] = {}
    for moment, until in zip(moments, [*(m.at for m in moments[1:]), end], strict=True):
        phases = found.setdefault(moment.act, {})
        phases[moment.phase] = phases.get(moment.phase, 0.0) + max(0.0, until - moment.at)
    return found


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Requests in slices of time: for each version one number per slice."""

    edges: tuple[float, ...]
    """Beginnings of the slices, in seconds since the start."""
    width: float
    rate: Mapping[str, tuple[float, ...]]
    """Requests per second."""
    error_ratio: Mapping[str, tuple[float, ...]]
    """Share of requests that failed; NaN where there was none."""
    p95_ms: Mapping[str, tuple[float, ...]]
    """Latency that 95 % of the answered requests did not exceed; NaN where there was none."""


def bins(
    requests: Iterable[Request], *, names: Mapping[str, str], start: float, end: float, width: float = 1.0
) -> Bins:
    """Cut requests into slices."""
    count = max(1, math.ceil((end - start) / width))
    slices: dict[str, list[list[Request]]] = {}
    for request in requests:
        place = math.floor((request.at - start) / width)
        if 0 <= place < count:
            version = names.get(request.revision, request.revision) or NOBODY
            slices.setdefault(version, [[] for _ in range(count)])[place].append(request)
    ordered = sorted(slices)
    return Bins(
        edges=tuple(place * width for place in range(count)),
        width=width,
        rate={name: tuple(len(part) / width for part in slices[name]) for name in ordered},
        error_ratio={name: tuple(_error_ratio(part) for part in slices[name]) for name in ordered},
        p95_ms={name: tuple(_p95(part) for part in slices[name]) for name in ordered},
    )


def _error_ratio(requests: Sequence[Request]) -> float:
    return sum(not request.ok for request in requests) / len(requests) if requests else math.nan


def _p95(requests: Iterable[Request]) -> float:
    return quantile((request.latency_ms for request in requests if request.revision), 0.95)


def share_steps(
    moments: Sequence[Moment], *, versions: Sequence[str], start: float, end: float
) -> tuple[list[float], dict[str, list[int]]]:
    """Return times and, for each version, its accepted share of the traffic from that time on."""
    times: list[float] = []
    shares: dict[str, list[int]] = {version: [] for version in versions}
    previous: dict[str, int] | None = None
    for moment in moments:
        now = moment.shares()
        if now == previous:
            continue
        times.append(moment.at - start)
        for version in versions:
            shares[version].append(now.get(version, 0))
        previous = now
    times.append(end - start)
    for series in shares.values():
        series.append(series[-1] if series else 0)
    return times, shares


def remaining(*, expected: Sequence[float], current: int, spent: float) -> float:
    """Estimate the seconds to the end: what the current act should still take, and the acts after it."""
    if current >= len(expected):
        return 0.0
    return max(0.0, expected[current] - spent) + sum(expected[current + 1 :])
