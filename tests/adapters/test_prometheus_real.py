"""`PrometheusEvidence` against a real Prometheus that scrapes counters as Envoy Gateway exposes them."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import timedelta

import pytest
from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.adapters.prometheus.client import PrometheusClient
from modelrelease.domain.observed import Meta, Protocol, Slot

from tests.adapters.prometheus_looks import END, START, Events, at, envoy, failures, read, requests, scraped, within
from tests.adapters.prometheus_server import CANDIDATE, MIRROR, STABLE, Pod, Prometheus

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]


async def test_blocks_of_both_slots(server: Prometheus, source: PrometheusEvidence, release: Meta) -> None:
    pod = envoy(release)
    pod.serve(STABLE, 100_000)
    pod.serve(CANDIDATE, 500, code_class=5, took_ms=900)  # of a revision before

    def traffic() -> None:
        pod.serve(STABLE, 400)
        pod.serve(CANDIDATE, 30, took_ms=20)
        pod.serve(CANDIDATE, 2, code_class=4)
        pod.serve(CANDIDATE, 3, code_class=5)
        pod.serve(CANDIDATE, 1, code_class=3)

    await server.play({"envoy-a": scraped(pod, events={6: traffic, 250: traffic})})
    evidence = await read(source, release)
    assert requests(evidence, "stable") == [400, 0, 0, 0, 400]
    assert failures(evidence, "stable") == [0] * 5
    assert requests(evidence) == [36, 0, 0, 0, 36]
    assert failures(evidence) == [5, 0, 0, 0, 5]
    assert within(evidence, 10.0) == [6, 0, 0, 0, 6]
    assert within(evidence, 25.0) == within(evidence, math.inf) == [36, 0, 0, 0, 36]
    assert [(block.start, block.end) for block in evidence.blocks][1] == (at(60), at(120))
    assert (evidence.candidate.requests, evidence.candidate.failures) == (72, 10)
    assert evidence.scrape == 15


async def test_a_look_before_blocks_have_a_length_tells_the_spacing_of_the_scrapes(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    await server.play({"envoy-a": scraped(envoy(release), events={})})
    evidence = await read(source, release, block=None)
    assert (evidence.error, evidence.blocks, evidence.scrape) == (None, (), 15)


async def test_the_queries_give_the_numbers_again_when_pasted(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = envoy(release)
    pod.serve(CANDIDATE, 5)
    await server.play({"envoy-a": scraped(pod, events={})})
    evidence = await read(source, release)
    client = PrometheusClient(server.url)
    for query in (evidence.error_query, evidence.latency_query):
        assert await client.series(query, at=END)
    await client.close()


async def test_counters_that_appear_later_started_at_zero_and_those_of_a_restart_again(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = envoy(release)

    def restart() -> None:
        pod.restart()
        pod.serve(CANDIDATE, 4, code_class=5)

    await server.play(
        {"envoy-a": scraped(pod, events={70: lambda: pod.serve(CANDIDATE, 20, code_class=5), 190: restart})}
    )
    evidence = await read(source, release)
    assert requests(evidence) == failures(evidence) == within(evidence, math.inf) == [0, 20, 0, 4, 0]


async def test_pods_are_summed_and_one_that_joins_counts_from_its_first_scrape(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    old, new = envoy(release), envoy(release)
    frames = scraped(old, events={10: lambda: old.serve(CANDIDATE, 50), 200: lambda: old.serve(CANDIDATE, 60)})
    new.serve(CANDIDATE, 7_000)  # nobody saw when: maybe before the window
    joined = scraped(new, events={200: lambda: new.serve(CANDIDATE, 8, code_class=5)}, when=range(155, 331, 15))
    await server.play({"envoy-a": frames, "envoy-b": joined})
    evidence = await read(source, release)
    assert requests(evidence) == [50, 0, 0, 68, 0]
    assert failures(evidence) == [0, 0, 0, 8, 0]


async def test_a_pod_that_vanishes_keeps_what_it_had_counted_and_is_not_waited_for(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    stays, goes = envoy(release), envoy(release)
    frames = scraped(stays, events={10: lambda: stays.serve(CANDIDATE, 50)})
    gone = scraped(goes, events={10: lambda: goes.serve(CANDIDATE, 9)}, when=range(-10, 100, 15))
    await server.play({"envoy-a": frames, "envoy-b": gone})
    assert requests(await read(source, release)) == [59, 0, 0, 0, 0]


async def test_lost_scrapes_leave_empty_blocks_and_lose_no_request(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = envoy(release)
    events = {second: lambda: pod.serve(CANDIDATE, 10, code_class=5) for second in (10, 70, 130, 190, 250)}
    await server.play({"envoy-a": scraped(pod, events=events, lost=range(50, 200, 15))})
    evidence = await read(source, release)
    assert requests(evidence) == failures(evidence) == [10, 0, 0, 30, 10]
    assert [bool(block.candidate.latency) for block in evidence.blocks] == [True, False, False, True, True]


async def test_a_pod_replaced_under_its_name_is_another_process(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    old, new = envoy(release), envoy(release)
    first = scraped(old, events={10: lambda: old.serve(CANDIDATE, 90)}, when=range(-10, 100, 15))
    new.serve(CANDIDATE, 70, code_class=5)
    second = scraped(new, events={190: lambda: new.serve(CANDIDATE, 5)}, when=range(140, 331, 15))
    await server.play({"envoy-a": first, "replaced": second})
    evidence = await read(source, release)
    assert requests(evidence) == [90, 0, 0, 5, 0]
    assert failures(evidence) == [0] * 5


async def test_grpc_failures_are_counted_though_they_are_http_200(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    http, grpc = envoy(release), envoy(release, "grpc")

    def calls() -> None:
        http.serve(CANDIDATE, 10)
        grpc.call(CANDIDATE, 40, failed=9)
        grpc.call(CANDIDATE, 3, failed=1, method="ModelStreamInfer")
        grpc.call(CANDIDATE, 1000, method="ServerLive")  # no inference

    await server.play({"envoy-a": scraped(http, grpc, events={70: calls})})
    grpc_only = await read(source, release, Protocol.GRPC)
    assert (requests(grpc_only)[1], failures(grpc_only)[1]) == (43, 10)
    both = await read(source, release, Protocol.HTTP, Protocol.GRPC)
    assert (requests(both)[1], failures(both)[1]) == (53, 10)


@pytest.mark.parametrize("protocol", list(Protocol))
async def test_requests_that_clients_gave_up_are_failures_and_those_under_way_are_not(
    server: Prometheus, source: PrometheusEvidence, release: Meta, protocol: Protocol
) -> None:
    pod = envoy(release, protocol)

    def hangs() -> None:
        pod.hang(CANDIDATE, 12)
        pod.hang(CANDIDATE, 3, given_up=False)

    await server.play({"envoy-a": scraped(pod, events={70: hangs})})
    evidence = await read(source, release, protocol)
    assert requests(evidence) == failures(evidence) == [0, 12, 0, 0, 0]


async def test_copies_that_the_candidate_answers_to_nobody_are_an_arm_of_their_own(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = envoy(release)

    def copies() -> None:
        pod.serve(STABLE, 100)
        pod.serve(MIRROR, 90, took_ms=20)
        pod.serve(MIRROR, 10, code_class=5)

    await server.play({"envoy-a": scraped(pod, events={70: copies})})
    to_candidate = await read(source, release, mirror=Slot.PREVIEW)
    assert requests(to_candidate, "shadow") == [0, 100, 0, 0, 0]
    assert failures(to_candidate, "shadow") == [0, 10, 0, 0, 0]
    assert within(to_candidate, 10.0, "shadow") == [0, 10, 0, 0, 0]
    assert requests(to_candidate, "stable") == [0, 100, 0, 0, 0]
    to_stable = await read(source, release, mirror=Slot.STABLE)
    assert failures(to_stable, "stable") == [0, 10, 0, 0, 0]
    assert requests(to_stable, "shadow") == requests(await read(source, release), "shadow") == [0] * 5


async def test_copies_of_grpc_calls_show_how_long_they_took_and_prove_nothing_of_failures(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    http, grpc = envoy(release), envoy(release, "grpc")

    def copies() -> None:
        http.serve(MIRROR, 7)
        grpc.serve(MIRROR, 100, took_ms=20)

    await server.play({"envoy-a": scraped(http, grpc, events={70: copies})})
    evidence = await read(source, release, Protocol.GRPC, Protocol.HTTP, mirror=Slot.PREVIEW)
    assert requests(evidence, "shadow") == [0, 7, 0, 0, 0]
    assert within(evidence, math.inf, "shadow") == [0, 107, 0, 0, 0]


async def test_history_is_stable_alone_by_window_and_by_process(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    one, other = envoy(release), envoy(release)
    before = range(-3600, -10, 15)

    def served() -> Events:
        return {-1800: lambda: one.serve(STABLE, 300, took_ms=20), -900: lambda: other.serve(STABLE, 60, code_class=5)}

    events = served()
    frames = scraped(one, events={-1800: events[-1800]}, when=before)
    others = scraped(other, events={-900: events[-900]}, when=before)
    await server.play({"envoy-a": frames, "envoy-b": others})
    await server.play({"envoy-a": scraped(one, events={}), "envoy-b": scraped(other, events={})})
    evidence = await read(source, release, block=None, history=7200.0)
    assert evidence.error is None
    past = evidence.history
    assert past is not None
    assert past.block == 15
    assert 238 <= len(past.windows) == len(past.by_process) <= 242
    assert sum(arm.requests for arm in past.windows) == 360
    assert [sum(arms[i].requests for arms in past.by_process) for i in range(2)] == [300, 60]
    assert [sum(arms[i].failures for arms in past.by_process) for i in range(2)] == [0, 60]
    assert sum(arm.requests > 0 for arm in past.windows) == 2


async def test_a_window_of_hours_is_read_in_pieces_without_losing_requests(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod, start = envoy(release), START - timedelta(hours=5)
    events = {second: lambda: pod.serve(CANDIDATE, 10) for second in range(-5 * 3600, 0, 240)}
    await server.play({"envoy-a": scraped(pod, events=events, when=range(-5 * 3600 - 20, 331, 60))})
    evidence = await read(source, release, start=start)
    assert (evidence.candidate.requests, len(evidence.blocks)) == (750, 300 + 4)


async def test_after_an_absence_the_newest_hours_are_read_on_the_same_grid(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = envoy(release)
    await server.play({"envoy-a": scraped(pod, events={70: lambda: pod.serve(CANDIDATE, 10)})})
    evidence = await read(source, release, start=START - timedelta(days=9, seconds=7))
    first = evidence.blocks[0].start
    assert END - timedelta(hours=6) <= first < END - timedelta(hours=6) + timedelta(minutes=1)
    assert (first - START + timedelta(days=9, seconds=7)) % timedelta(minutes=1) == timedelta(0)
    assert evidence.candidate.requests == 10


async def test_no_requests_are_no_error(server: Prometheus, source: PrometheusEvidence, release: Meta) -> None:
    pod = envoy(release)
    await server.play({"envoy-a": scraped(pod, events={70: lambda: pod.serve(STABLE, 10)})})
    evidence = await read(source, release)
    assert requests(evidence) == within(evidence, math.inf) == [0] * 5


async def test_a_clock_that_jumped_back_behind_the_start_is_no_error(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    await server.play({"envoy-a": scraped(envoy(release), events={})})
    evidence = await read(source, release, start=END + timedelta(hours=1))
    assert (evidence.error, evidence.blocks) == (None, ())


async def test_a_release_that_the_gateway_does_not_count_is_an_error_that_names_its_clusters(
    source: PrometheusEvidence, release: Meta
) -> None:
    evidence = await read(source, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsEmpty"
    assert f"httproute/vision/{release.name}/rule/0/backend/1" in evidence.error.message


async def test_counts_that_stopped_coming_are_an_error(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    await server.play({"envoy-a": scraped(envoy(release), events={}, when=range(-10, 131, 15))})
    evidence = await read(source, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsStale"
    assert "205 s old" in evidence.error.message


async def test_a_pod_that_two_jobs_scrape_is_an_error_that_names_them(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    frames = scraped(envoy(release), events={})
    await server.play({"envoy-a": frames, "duplicate": frames})
    evidence = await read(source, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsAmbiguous"
    assert 'job="duplicate" and "gateways"' in evidence.error.message


async def test_not_a_number_is_an_error_of_the_one_release(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod, healthy = envoy(release), replace(release, name=f"{release.name}-b")
    other = envoy(healthy)
    pod.serve(CANDIDATE, 500)
    frames = scraped(pod, other, events={70: lambda: other.serve(CANDIDATE, 3)})
    await server.play({"envoy-a": [frame.replace(" 500.0 ", " NaN ") for frame in frames]})
    broken, fine = await asyncio.gather(read(source, release), read(source, healthy))
    assert broken.error is not None
    assert broken.error.reason == "MetricsNotANumber"
    assert requests(fine) == [0, 3, 0, 0, 0]


async def test_another_release_whose_name_matches_as_a_pattern_is_not_counted(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    pod = Pod(route=f"vision/{release.name.replace('.', 'x')}")
    pod.serve(CANDIDATE, 500)
    await server.play({"envoy-a": scraped(pod, events={})})
    evidence = await read(source, release)
    assert evidence.error is not None
    assert evidence.error.reason == "MetricsEmpty"


async def test_a_hundred_releases_that_look_at_once_are_two_queries(server: Prometheus, release: Meta) -> None:
    releases = [replace(release, name=f"{release.name}-n{number}") for number in range(100)]
    pods = [envoy(one) for one in releases]

    def served() -> None:
        for number, pod in enumerate(pods):
            pod.serve(CANDIDATE, number, code_class=5 if number % 2 else 2)

    await server.play({"envoy-a": scraped(*pods, events={70: served})})
    told: list[tuple[int, str]] = []
    source = PrometheusEvidence(PrometheusClient(server.url), told=lambda looks, result: told.append((looks, result)))
    found = await asyncio.gather(*(read(source, one) for one in releases))
    await source.close()
    assert told == [(100, "success"), (100, "success")]
    for number, evidence in enumerate(found):
        assert requests(evidence) == [0, number, 0, 0, 0]
        assert failures(evidence) == [0, number if number % 2 else 0, 0, 0, 0]
