"""The arithmetic of a release's own metrics, without a server."""

from __future__ import annotations

from datetime import UTC, datetime

from modelrelease.adapters.prometheus import custom
from modelrelease.adapters.prometheus.blocks import Grid
from modelrelease.adapters.prometheus.client import PrometheusClient, Series
from modelrelease.adapters.prometheus.custom import Custom
from modelrelease.adapters.prometheus.reading import Reader
from modelrelease.domain.observed import Meta, Slot
from modelrelease.domain.plan import Window
from modelrelease.domain.policy import CustomMetric

META = Meta(name="digits", namespace="vision", uid="u", generation=1, resource_version="1")
METRIC = CustomMetric(name="m", bad='bad{s="$slot"}', total='all{s="$slot"}')
Samples = tuple[tuple[float, float], ...]


class Fake(PrometheusClient):
    """Has the same samples for every slot."""

    def __init__(self, **samples: Samples) -> None:
        super().__init__("http://fake")
        self._samples = samples

    async def series(self, query: str, *, at: datetime) -> tuple[Series, ...]:
        name, slot = query.split("{")[0], query.split('"')[1]
        return (Series(labels={"__name__": name, "s": slot, "pod": "p"}, samples=self._samples[name]),)


async def read(end: float, **samples: Samples) -> Custom:
    places = custom.places(meta=META, stable="r1", candidate="r2", mirror=None)
    start, now = (datetime.fromtimestamp(when, UTC) for when in (0, end))
    found = await custom.read(Reader(client=Fake(**samples)), (METRIC,), at=places, window=Window(start=start, end=now))
    assert found.problems == {}
    return found


async def test_a_bad_one_that_is_counted_before_the_event_itself_is_not_more_than_all() -> None:
    found = await read(60, bad=((0, 0), (15, 3), (30, 3)), all=((0, 0), (15, 2), (30, 5)))
    counts = found.counts(Grid(start=0.0, length=15.0, count=2))
    assert [(c.bad, c.total) for index in (0, 1) for c in counts[index, "candidate"]] == [(2, 2), (0, 3)]


async def test_a_source_is_waited_for_until_it_is_away() -> None:
    samples = ((0.0, 0.0), (15.0, 0.0), (30.0, 0.0))
    late, away = [await read(end, bad=samples, all=samples) for end in (60, 70)]
    assert late.complete_until(end=datetime.fromtimestamp(60, UTC)) == 30
    assert away.complete_until(end=datetime.fromtimestamp(70, UTC)) == float("inf")


async def test_the_slowest_of_several_sources_is_waited_for() -> None:
    slow, fast = ((0.0, 0.0), (20.0, 0.0)), ((0.0, 0.0), (10.0, 0.0), (20.0, 0.0), (30.0, 0.0))
    one, other = await read(35, bad=slow, all=slow), await read(35, bad=fast, all=fast)
    for first, second in ((one, other), (other, one)):
        pairs = {("a", "stable"): first.pairs["m", "stable"], ("b", "stable"): second.pairs["m", "stable"]}
        assert Custom(pairs=pairs).complete_until(end=datetime.fromtimestamp(35, UTC)) == 15


def test_an_arm_without_a_revision_is_not_asked_for() -> None:
    assert custom.places(meta=META, stable=None, candidate=None, mirror=None) == {}
    known = custom.places(meta=META, stable="r1", candidate="r2", mirror=Slot.PREVIEW)
    assert {arm: names["slot"] for arm, names in known.items()} == {
        "stable": "digits-stable",
        "candidate": "digits-candidate",
        "shadow": "digits-preview",
    }
    assert set(custom.places(meta=META, stable="r1", candidate="r2", mirror=Slot.STABLE)) == {"stable", "candidate"}
