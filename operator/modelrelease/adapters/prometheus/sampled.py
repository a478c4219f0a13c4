"""The samples of one source, and what each of its scrapes added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from modelrelease.adapters.prometheus import blocks
from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.increments import Layout, Scrapes, Steps, Target, increments, scrapes
from modelrelease.adapters.prometheus.problems import MetricsError


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Series that are scraped together."""

    series: tuple[Series, ...]
    steps: tuple[Steps, ...]
    scraped: Scrapes

    @property
    def newest(self) -> float | None:
        """When anything of it was last scraped (unix seconds)."""
        return max((times[-1] for times in self.scraped.values()), default=None)

    @property
    def scrape(self) -> float | None:
        """The usual time between two scrapes, in seconds."""
        return blocks.spacing(self.scraped)


def sampled(found: Iterable[Series], *, layout: Layout) -> Sampled:
    """Return what was read.

    Raises:
        MetricsError: a process seems to be counted twice.

    """
    series = tuple(found)
    check_unique(series, layout=layout)
    return Sampled(series=series, steps=increments(series, layout=layout), scraped=scrapes(series, layout=layout))


def check_unique(found: Iterable[Series], *, layout: Layout) -> None:
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
            same[layout.own(series) | _process(series)].append(series)
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
    pod = one.labels.get("pod") or one.labels.get("instance") or "one process"
    return MetricsError(
        reason="MetricsAmbiguous",
        message=f"Prometheus has {one.labels.get('__name__', 'a counter')} of {pod} twice, with {told}: "
        "every request would count twice; scrape each pod by one job only, or deduplicate replicas",
    )
