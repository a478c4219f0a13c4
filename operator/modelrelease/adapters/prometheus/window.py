"""Reading all samples of a window, however long it is, in answers of bounded size."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelrelease.adapters.prometheus.client import PrometheusClient, Series

# Samples from before the window tell that the gateway is scraped at all; none of them is counted.
LOOK_BACK = timedelta(minutes=5)

# A step may last for days. Its recent past is read sample by sample, what lies before at
# so many moments: only resets in between can be missed, not requests.
RECENT = timedelta(minutes=15)
MOMENTS = 120

# A moment shows the last scrape before it. Beginning this much later, it is one from within the window.
SCRAPE_INTERVAL_AT_MOST = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of time to count in."""

    start: datetime
    end: datetime

    @property
    def _recent(self) -> datetime:
        """Where reading sample by sample begins."""
        if self.end - self.start <= 2 * RECENT:
            return self.start - LOOK_BACK
        return self.end - RECENT

    def query(self, selector: str) -> str:
        """Return the query, to be evaluated at the end of the window, that gives the samples."""
        return f"{selector}[{_whole_seconds(self.end - self._recent)}s]"

    async def read(self, client: PrometheusClient, selector: str) -> tuple[Series, ...]:
        """Return the samples of all series.

        Raises:
            MetricsError: Prometheus gave no usable answer.

        """
        recent = client.series(self.query(selector), at=self.end)
        if self._recent < self.start:
            return await recent
        length = self._recent - self.start - SCRAPE_INTERVAL_AT_MOST
        step = math.ceil(length.total_seconds() / MOMENTS)
        earlier = client.series(f"{selector}[{_whole_seconds(length)}s:{step}s]", at=self._recent)
        return _joined(*await asyncio.gather(earlier, recent))


def _whole_seconds(length: timedelta) -> int:
    return math.ceil(length.total_seconds())


def _joined(earlier: tuple[Series, ...], later: tuple[Series, ...]) -> tuple[Series, ...]:
    samples: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = defaultdict(list)
    for series in (*earlier, *later):
        samples[frozenset(series.labels.items())] += series.samples
    return tuple(Series(labels=dict(labels), samples=tuple(found)) for labels, found in samples.items())
