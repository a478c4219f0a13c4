"""`PrometheusEvidence` against a real Prometheus that scrapes counters as Envoy exposes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.adapters.prometheus.client import PrometheusClient
from modelrelease.domain.observed import Evidence, Meta, Protocol

from tests.adapters.prometheus_server import CANDIDATE, STABLE, Pod, Prometheus, prometheus

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

END = datetime.now(UTC).replace(microsecond=0)
START = END - timedelta(minutes=5)
NAMES = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    async with prometheus(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def source(server: Prometheus) -> AsyncIterator[PrometheusEvidence]:
    evidence = PrometheusEvidence(PrometheusClient(server.url))
    yield evidence
    await evidence.close()


@pytest.fixture
def release() -> Meta:
    """A release of its own for each test: the server keeps what it scraped."""
    name = f"digits.v{next(NAMES)}"
    return Meta(name=name, namespace="vision", uid="u", generation=1, resource_version="1")


def envoy(release: Meta, protocol: str = "http") -> Pod:
    return Pod(route=f"{release.namespace}/{release.name}", protocol=protocol)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


async def ask(
    source: PrometheusEvidence,
    release: Meta,
    *protocols: Protocol,
    start: datetime = START,
    end: datetime = END,
    baseline: tuple[datetime, datetime] | None = None,
) -> Evidence:
    return await source.evidence(
        meta=release, protocols=protocols or (Protocol.HTTP,), start=start, end=end, baseline=baseline
    )


def within(evidence: Evidence, bound: float) -> float:
    return dict(evidence.candidate.latency)[bound]


async def test_counts_of_both_slots_since_the_first_scrape_of_the_window(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod, frames = envoy(release), []
    pod.serve(STABLE, 100_000)
    pod.serve(CANDIDATE, 500, code_class=5, took_ms=900)  # of a revision before
    frames += [pod.frame(at(second)) for second in (-10, 5)]
    for second in (20, 290):
        pod.serve(STABLE, 400)
        pod.serve(CANDIDATE, 30, took_ms=20)
        pod.serve(CANDIDATE, 2, code_class=4)
        pod.serve(CANDIDATE, 3, code_class=5)
        pod.serve(CANDIDATE, 1, code_class=3)
        frames.append(pod.frame(at(second)))
    await server.play({"envoy-a": frames})
    evidence = await ask(source, release)
    assert evidence.error is None
    assert (evidence.stable.requests, evidence.stable.failures) == (800, 0)
    assert (evidence.candidate.requests, evidence.candidate.failures) == (72, 10)
    assert within(evidence, 10.0) == 12
    assert within(evidence, 25.0) == within(evidence, math.inf) == 72


async def test_the_queries_give_the_numbers_again_when_pasted(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = envoy(release)
    pod.serve(CANDIDATE, 5)
    await server.play({"envoy-a": [pod.frame(END - timedelta(seconds=5))]})
    evidence = await ask(source, release)
    client = PrometheusClient(server.url)
    for query in (evidence.error_query, evidence.latency_query):
        assert await client.series(query, at=END)
    await client.close()


async def test_counters_that_appear_later_started_at_zero_and_those_that_fall_again(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod, frames = envoy(release), [envoy(release).frame(at(6))]
    pod.serve(CANDIDATE, 20, code_class=5)
    frames.append(pod.frame(at(100)))
    pod.restart()
    pod.serve(CANDIDATE, 4, code_class=5)
    frames.append(pod.frame(at(280)))
    await server.play({"envoy-a": frames})
    evidence = await ask(source, release)
    assert (evidence.candidate.requests, evidence.candidate.failures) == (24, 24)
    assert within(evidence, math.inf) == 24


async def test_pods_are_summed_and_a_pod_that_joins_counts_from_its_first_scrape(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    old, new, frames = envoy(release), envoy(release), []
    for second in (1, 290):
        old.serve(CANDIDATE, 50)
        frames.append(old.frame(at(second)))
    new.serve(CANDIDATE, 7_000)  # nobody saw when: maybe before the window
    joined = [new.frame(at(150))]
    new.serve(CANDIDATE, 8, code_class=5)
    joined.append(new.frame(at(290)))
    await server.play({"envoy-a": frames, "envoy-b": joined})
    evidence = await ask(source, release)
    assert (evidence.candidate.requests, evidence.candidate.failures) == (58, 8)


async def test_grpc_failures_are_counted_though_they_are_http_200(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    http, grpc, frames = envoy(release), envoy(release, "grpc"), []
    for second in (1, 290):
        http.serve(CANDIDATE, 10)
        grpc.call(CANDIDATE, 40, failed=9)
        grpc.call(CANDIDATE, 3, failed=1, method="ModelStreamInfer")
        grpc.call(CANDIDATE, 1000, method="ServerLive")  # no inference
        frames.append(http.frame(at(second)) + grpc.frame(at(second)))
    await server.play({"envoy-a": frames})
    grpc_only = await ask(source, release, Protocol.GRPC)
    assert (grpc_only.candidate.requests, grpc_only.candidate.failures) == (43, 10)
    both = await ask(source, release, Protocol.HTTP, Protocol.GRPC)
    assert (both.candidate.requests, both.candidate.failures) == (53, 10)


@pytest.mark.parametrize("protocol", list(Protocol))
async def test_requests_that_clients_gave_up_are_failures_and_those_under_way_are_not(
    server: Prometheus, source: PrometheusEvidence, release: Meta, protocol: Protocol
) -> None:
    pod, frames = envoy(release, protocol), [envoy(release, protocol).frame(at(1))]
    pod.hang(CANDIDATE, 12)
    pod.hang(CANDIDATE, 3, given_up=False)
    frames.append(pod.frame(at(290)))
    await server.play({"envoy-a": frames})
    evidence = await ask(source, release, protocol)
    assert (evidence.candidate.requests, evidence.candidate.failures) == (12, 12)


async def test_a_baseline_counts_stable_in_its_own_window(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod, frames = envoy(release), []
    before = START - timedelta(hours=2)
    for moment in (before + timedelta(seconds=6), before + timedelta(minutes=9)):
        pod.serve(STABLE, 300, took_ms=20)
        frames.append(pod.frame(moment))
    for second in (1, 290):
        pod.serve(CANDIDATE, 60)
        frames.append(pod.frame(at(second)))
    await server.play({"envoy-a": frames})
    evidence = await ask(source, release, baseline=(before, before + timedelta(minutes=10)))
    assert (evidence.stable.requests, evidence.candidate.requests) == (300, 60)
    assert dict(evidence.stable.latency)[math.inf] == 300


async def test_a_window_of_days_is_read_at_few_moments_without_losing_requests(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod, frames, start = envoy(release), [], END - timedelta(days=2)
    pod.serve(CANDIDATE, 1_000_000)
    frames.append(pod.frame(start - timedelta(seconds=1)))
    # Four minutes apart: Prometheus takes a series for gone when it has no sample for five.
    moments = [start + timedelta(seconds=10) + timedelta(minutes=4) * i for i in range(720)]
    for moment in moments:
        frames.append(pod.frame(moment))
        pod.serve(CANDIDATE, 10)
        if moment is moments[300]:
            pod.serve(CANDIDATE, 5, code_class=5)
    frames.append(pod.frame(END - timedelta(seconds=10)))
    await server.play({"envoy-a": frames})
    evidence = await ask(source, release, start=start)
    assert evidence.error is None
    assert (evidence.candidate.requests, evidence.candidate.failures) == (7205, 5)
    assert within(evidence, math.inf) == 7205


async def test_no_requests_are_no_error(server: Prometheus, source: PrometheusEvidence, release: Meta) -> None:
    pod = envoy(release)
    pod.serve(STABLE, 10)
    await server.play({"envoy-a": [pod.frame(at(1)), pod.frame(at(290))]})
    evidence = await ask(source, release)
    assert evidence.error is None
    assert (evidence.candidate.requests, evidence.candidate.latency) == (0, ())


async def test_a_window_before_the_next_scrape_is_no_error(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = envoy(release)
    pod.serve(CANDIDATE, 9)
    await server.play({"envoy-a": [pod.frame(END - timedelta(seconds=20))]})
    evidence = await ask(source, release, start=END - timedelta(seconds=5))
    assert (evidence.error, evidence.candidate.requests) == (None, 0)


async def test_a_release_that_the_gateway_does_not_count_is_an_error_that_names_its_clusters(
    source: PrometheusEvidence, release: Meta
) -> None:
    evidence = await ask(source, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsEmpty"
    assert f"httproute/vision/{release.name}/rule/0/backend/1" in evidence.error.message


async def test_counts_that_stopped_coming_are_an_error(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = envoy(release)
    pod.serve(CANDIDATE, 500)
    await server.play({"envoy-a": [pod.frame(at(1)), pod.frame(at(100))]})
    evidence = await ask(source, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsStale"
    assert "200 s old" in evidence.error.message


async def test_a_pod_that_two_jobs_scrape_is_an_error_that_names_them(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = envoy(release)
    pod.serve(CANDIDATE, 500)
    frames = [pod.frame(at(1)), pod.frame(at(290))]
    await server.play({"envoy-a": frames, "duplicate": frames})
    evidence = await ask(source, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsAmbiguous"
    assert 'job="duplicate" and "gateways"' in evidence.error.message


async def test_not_a_number_is_an_error(server: Prometheus, source: PrometheusEvidence, release: Meta) -> None:
    pod = envoy(release)
    pod.serve(CANDIDATE, 500)
    await server.play({"envoy-a": [pod.frame(at(290)).replace(" 500.0 ", " NaN ")]})
    evidence = await ask(source, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsNotANumber"


async def test_another_release_whose_name_matches_as_a_pattern_is_not_counted(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = Pod(route=f"vision/{release.name.replace('.', 'x')}")
    pod.serve(CANDIDATE, 500)
    await server.play({"envoy-a": [pod.frame(at(290))]})
    evidence = await ask(source, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsEmpty"
