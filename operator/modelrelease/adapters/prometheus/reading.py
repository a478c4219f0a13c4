"""Which samples are asked for: all of a window's, and stable's past thinned out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from modelrelease.adapters.prometheus.client import PrometheusClient, Series
from modelrelease.adapters.prometheus.increments import GAP_SECONDS
from modelrelease.adapters.prometheus.presets.base import Selector

# What an operator that was away for longer has missed stays unjudged: it was away.
MOST_WINDOW = timedelta(hours=6)
# A release is looked at every few seconds; only after an absence is there more to read than fits one answer.
PIECE = timedelta(hours=1)
MOST_MOMENTS = 1500  # of a history


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The past at some moments: the last value before each multiple of `step` seconds.

    As exact as all samples would be, unless a counter is reset between two moments: what it
    counted between the earlier one and the reset is lost.
    """

    start: float
    step: float
    count: int

    @property
    def end(self) -> datetime:
        """The last moment."""
        return datetime.fromtimestamp(self.start + self.count * self.step, UTC)

    @property
    def range(self) -> str:
        """The range of a subquery, evaluated at `end`, that gives `count` + 1 values."""
        return f"[{_duration(self.count * self.step + self.step / 2)}:{_duration(self.step)}]"


def moments(*, end: datetime, seconds: float, scrape: float) -> Moments:
    """Return the moments that show a past of some seconds at the spacing of the scrapes, or a multiple of it."""
    step = scrape * math.ceil(max(1.0, seconds / scrape / MOST_MOMENTS))
    count = max(1, math.floor(seconds / step))
    # Prometheus evaluates subqueries at whole multiples of their step.
    last = math.floor(end.timestamp() / step) * step
    return Moments(start=last - count * step, step=step, count=count)


def query(selector: Selector, *, start: datetime, end: datetime) -> str:
    """Return the query, to be evaluated at `end`, of all that counts after `start`."""
    return f"{selector}[{_duration((end - start).total_seconds() + GAP_SECONDS)}]"


async def window(client: PrometheusClient, selector: Selector, *, start: datetime, end: datetime) -> tuple[Series, ...]:
    """Return all samples that tell what was counted after `start`.

    Raises:
        MetricsError: Prometheus gave no usable answer.

    """
    parts = []
    while end - start > PIECE:
        parts.append(await client.series(query(selector, start=start, end=start + PIECE), at=start + PIECE))
        start += PIECE + timedelta(seconds=GAP_SECONDS)  # the next range begins where this one ended
    parts.append(await client.series(query(selector, start=start, end=end), at=end))
    return _joined(parts)


async def history(client: PrometheusClient, selector: Selector, past: Moments) -> tuple[Series, ...]:
    """Return the values of some moments.

    Raises:
        MetricsError: Prometheus gave no usable answer.

    """
    return await client.series(f"{selector}{past.range}", at=past.end)


def _duration(seconds: float) -> str:
    milliseconds = math.ceil(round(seconds * 1000, 3))
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def _joined(parts: Iterable[tuple[Series, ...]]) -> tuple[Series, ...]:
    samples: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = defaultdict(list)
    for series in (one for part in parts for one in part):
        mine = samples[frozenset(series.labels.items())]
        newest = mine[-1][0] if mine else -math.inf
        mine += [sample for sample in series.samples if sample[0] > newest]
    return tuple(Series(labels=dict(labels), samples=tuple(found)) for labels, found in samples.items())
