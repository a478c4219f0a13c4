"""Metrics of a release's own, from a real Prometheus: counted by arm, or told why they are not."""

from __future__ import annotations

import itertools
import math

import pytest
from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.domain.observed import Meta, Slot
from modelrelease.domain.policy import CustomMetric

from tests.adapters.prometheus_looks import at, envoy, read, requests, scraped
from tests.adapters.prometheus_server import CANDIDATE, STABLE, Process, Prometheus

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]


def counted(name: str, bad: str = "requests_failed_total", total: str = "requests_total") -> CustomMetric:
    return CustomMetric(name=name, bad=f'{bad}{{service="$slot"}}', total=f'{total}{{service="$slot"}}')


async def test_custom_counters_are_told_apart_by_slot_in_every_arm(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    gateway, app = envoy(release), Process()

    def answers() -> None:
        for slot, bad in ((Slot.STABLE, 1), (Slot.CANDIDATE, 5), (Slot.PREVIEW, 7)):
            service = f'service="{release.name}-{slot}"'
            app.add(f"requests_total{{{service}}}", 10)
            app.add(f"losses{{{service}}}", bad / 4)
            if bad > 1:  # stable has no counter of bad ones yet
                app.add(f"requests_failed_total{{{service}}}", bad)

    frames = {"envoy-a": scraped(gateway, events={}), "envoy-b": scraped(app, events={-12: answers, 70: answers})}
    await server.play(frames)
    score = CustomMetric(name="score", sum='losses{service="$slot"}', count='requests_total{service="$slot"}')
    evidence = await read(source, release, mirror=Slot.PREVIEW, metrics=(counted("refused"), score), history=600.0)
    assert evidence.problems == {}
    # Stable has no counter of refused ones: none was refused.
    assert [[(c.name, c.bad, c.total) for c in block.stable.custom] for block in evidence.blocks][:3] == [
        [],
        [("refused", 0, 10), ("score", 0.25, 10)],
        [],
    ]
    second = evidence.blocks[1]
    assert [(c.bad, c.total) for c in second.candidate.custom] == [(5, 10), (1.25, 10)]
    assert [(c.bad, c.total) for c in second.shadow.custom] == [(7, 10), (1.75, 10)]
    assert [(c.name, c.bad, c.total) for c in evidence.candidate.custom] == [("refused", 5, 10), ("score", 1.25, 10)]


async def test_a_counter_that_is_made_with_the_first_bad_one_and_an_arm_that_comes_later_start_at_zero(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    app = Process()
    stable, candidate = (f'service="{release.name}-{slot}"' for slot in (Slot.STABLE, Slot.CANDIDATE))
    app.add(f"requests_total{{{stable}}}", 1000)

    def first() -> None:
        app.add(f"requests_total{{{candidate}}}", 20)
        app.add(f"requests_failed_total{{{candidate}}}", 6)

    await server.play({"envoy-a": scraped(envoy(release), events={}), "envoy-b": scraped(app, events={70: first})})
    evidence = await read(source, release, metrics=(counted("m"),))
    assert evidence.problems == {}
    assert [(c.bad, c.total) for c in evidence.candidate.custom] == [(6, 20)]


async def test_counters_by_revision_count_copies_too_and_are_no_shadow(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    app, name = Process(), release.name.replace(".", "_")

    def answers() -> None:
        for revision in ("r1", "r2"):
            app.add(f'{name}_all{{revision="{revision}"}}', 10)

    await server.play(
        {"envoy-a": scraped(envoy(release), events={}), "envoy-b": scraped(app, events={-15: answers, 70: answers})}
    )
    metric = CustomMetric(
        name="m", bad=f'{name}_bad{{revision="$revision"}}', total=f'{name}_all{{revision="$revision"}}'
    )
    evidence = await read(source, release, mirror=Slot.PREVIEW, metrics=(metric,))
    assert evidence.problems == {}
    assert [[c.total for c in arm.custom] for arm in (evidence.stable, evidence.candidate)] == [[10], [10]]
    assert all(block.shadow.custom == () for block in evidence.blocks)


async def test_a_value_is_one_number_now_and_at_the_look_before(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    app = Process()
    series = f'queue_length{{service="{release.name}-candidate"}}'
    app.add(series, 12)
    grown = {300: lambda: app.add(series, 5)}
    await server.play({"envoy-a": scraped(envoy(release), events={}), "envoy-b": scraped(app, events=grown)})
    metric = CustomMetric(name="queue", value='max(queue_length{service="$slot"})', threshold=20)
    evidence = await read(source, release, metrics=(metric,), before=at(240))
    assert [(v.name, v.bad, v.total) for v in evidence.values] == [("queue", 17, 1)]
    assert [(v.name, v.bad, v.total) for v in evidence.values_before] == [("queue", 12, 1)]
    assert (await read(source, release, metrics=(metric,))).values_before == ()


async def test_a_value_that_is_not_there_says_nothing(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    await server.play({"envoy-a": scraped(envoy(release), events={})})
    evidence = await read(source, release, metrics=(CustomMetric(name="m", value="nowhere", threshold=1),))
    assert evidence.problems == {}
    assert [(v.name, v.total) for v in evidence.values] == [("m", 0)]


@pytest.mark.parametrize(
    ("metric", "reason", "said"),
    [
        (counted("m", total="nowhere"), "MetricsEmpty", "metric m: Prometheus has no series for nowhere{service="),
        (counted("m", bad="rate(x[5m])#"), "QueryInvalid", "metric m: its query calls rate()"),
        (counted("m", bad="too_many"), "MetricsImplausible", "has 30 bad of 10, which can't be"),
        (counted("m", total="up_and_down"), "MetricsNotACounter", "falls again and again"),
        (counted("m", total="not_a_number"), "MetricsNotANumber", "has the value nan"),
        (CustomMetric(name="m", bad="app_bad", total="app_all"), "MetricsAmbiguous", "for stable and candidate alike"),
        (CustomMetric(name="m", value="queue_of_pods", threshold=1), "MetricsSeveral", "gives 2 numbers"),
        (CustomMetric(name="m", value="vector(0) / 0", threshold=1), "MetricsNotANumber", "gives nan"),
        (CustomMetric(name="m", value="sum(", threshold=1), "MetricsRefused", "HTTP 400"),
        (CustomMetric(name="m", value='x{a="$slto"}', threshold=1), "QueryInvalid", "unknown placeholder $slto"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
async def test_a_metric_without_numbers_says_why_and_stops_no_other(
    server: Prometheus, source: PrometheusEvidence, release: Meta, metric: CustomMetric, reason: str, said: str
) -> None:
    gateway, app = envoy(release), Process()
    second = itertools.count()

    def answers() -> None:
        for slot in (Slot.STABLE, Slot.CANDIDATE):
            service = f'service="{release.name}-{slot}"'
            app.add(f"requests_total{{{service}}}", 10)
            app.add(f"too_many{{{service}}}", 30)
            app.add(f"not_a_number{{{service}}}", math.nan)
        for series in ("app_all", "app_bad", 'queue_of_pods{a="1"}', 'queue_of_pods{a="2"}'):
            app.add(series, 1)

    def wobble() -> None:
        for slot in (Slot.STABLE, Slot.CANDIDATE):
            app.add(f'up_and_down{{service="{release.name}-{slot}"}}', 5 if next(second) // 2 % 2 == 0 else -5)

    events = dict.fromkeys(range(-11, 320, 15), wobble) | {-5: answers, 70: answers}
    await server.play(
        {
            "envoy-a": scraped(gateway, events={70: lambda: gateway.serve(CANDIDATE, 4)}),
            "envoy-b": scraped(app, events=events),
        }
    )
    evidence = await read(source, release, metrics=(metric, counted("fine", bad="none_yet")))
    assert set(evidence.problems) == {"m"}
    assert evidence.problems["m"].reason == reason
    assert said in evidence.problems["m"].message
    assert requests(evidence) == [0, 4, 0, 0, 0]
    assert [(c.name, c.total) for c in evidence.candidate.custom] == [("fine", 10)]
    assert [(v.name, v.total) for v in evidence.values] == ([("m", 0)] if metric.value else [])


async def test_a_source_that_is_scraped_no_more_holds_back_no_block(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    gateway, app = envoy(release), Process()
    name = release.name.replace(".", "_")
    for slot in (Slot.STABLE, Slot.CANDIDATE):
        app.add(f'{name}{{service="{release.name}-{slot}"}}', 10)
    stopped = scraped(app, events={}, when=range(-10, 150, 15))
    await server.play({"envoy-a": scraped(gateway, events={}), "envoy-b": stopped})
    evidence = await read(source, release, metrics=(counted("m", total=name),))
    assert evidence.problems["m"].reason == "MetricsStale"
    assert len(evidence.blocks) == 5


async def test_a_source_that_is_scraped_seldom_is_waited_for(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    gateway, app = envoy(release), Process()
    series = [
        f'{release.name.replace(".", "_")}{{service="{release.name}-{slot}"}}' for slot in (Slot.STABLE, Slot.CANDIDATE)
    ]

    def answers() -> None:
        for one in series:
            app.add(one, 10)

    seldom = scraped(app, events={-40: answers, 70: answers, 190: answers}, when=range(-50, 300, 60))
    await server.play({"envoy-a": scraped(gateway, events={}), "envoy-b": seldom})
    evidence = await read(source, release, metrics=(counted("m", total=series[0].split("{")[0]),))
    assert evidence.problems == {}
    # Its last scrape is at 250, in the fifth block.
    assert [[c.total for c in block.stable.custom] for block in evidence.blocks] == [[], [], [10], []]


async def test_history_has_stables_own_metrics_in_the_windows_of_its_requests(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    gateway, app = envoy(release), Process()
    service = f'service="{release.name}-stable"'
    app.add(f"requests_total{{{service}}}", 1000)

    def answers() -> None:
        gateway.serve(STABLE, 10)
        app.add(f"requests_total{{{service}}}", 10)
        app.add(f"requests_failed_total{{{service}}}", 3)

    await server.play({"envoy-a": scraped(gateway, app, events={-300: answers}, when=range(-600, 331, 15))})
    evidence = await read(source, release, history=3600.0, block=None, metrics=(counted("m"),))
    assert evidence.history is not None
    windows = evidence.history.windows
    assert 39 <= len(windows) <= 41  # before its first scrape there is none
    assert [
        (arm.requests, [(c.bad, c.total) for c in arm.custom]) for arm in windows if arm.requests or arm.custom
    ] == [(10, [(3, 10)])]
