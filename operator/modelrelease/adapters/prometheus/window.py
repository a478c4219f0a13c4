"""Reading all samples of a window, however long it is, in answers of bounded size."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from modelrelease.adapters.prometheus.client import PrometheusClient, Series

# Samples from before the window tell that the gateway is scraped at all; none of them is counted.
LOOK_BACK = timedelta(minutes=5)

# A step may last for days. Its beginning and its recent past are read sample by sample, what
# lies between at so many moments: only a reset or a new pod in between may hide requests.
BEGINNING = timedelta(minutes=5)
RECENT = timedelta(minutes=15)
MOMENTS = 120


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of time to count in."""

    start: datetime
    end: datetime

    @property
    def _long(self) -> bool:
        return self.end - self.start > BEGINNING + 2 * RECENT

    def query(self, selector: str) -> str:
        """Return the query, to be evaluated at the end of the window, that gives the newest samples."""
        recent = RECENT if self._long else self.end - self.start + LOOK_BACK
        return f"{selector}[{_whole_seconds(recent)}s]"

    async def read(self, client: PrometheusClient, selector: str) -> tuple[Series, ...]:
        """Return the samples of all series.

        Raises:
            MetricsError: Prometheus gave no usable answer.

        """
        recent = client.series(self.query(selector), at=self.end)
        if not self._long:
            return await recent
        between = self.end - RECENT - self.start - BEGINNING
        step = math.ceil(between.total_seconds() / MOMENTS)
        return _joined(
            *await asyncio.gather(
                client.series(f"{selector}[{_whole_seconds(BEGINNING + LOOK_BACK)}s]", at=self.start + BEGINNING),
                client.series(f"{selector}[{_whole_seconds(between)}s:{step}s]", at=self.end - RECENT),
                recent,
            )
        )


def _whole_seconds(length: timedelta) -> int:
    return math.ceil(length.total_seconds())


def _joined(*parts: tuple[Series, ...]) -> tuple[Series, ...]:
    samples: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = defaultdict(list)
    for series in chain.from_iterable(parts):
        samples[frozenset(series.labels.items())] += series.samples
    return tuple(Series(labels=dict(labels), samples=tuple(found)) for labels, found in samples.items())
