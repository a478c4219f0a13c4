"""What becomes of answers that are none: each is one sentence with a reason and a fix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import pytest_asyncio
from aiohttp import web
from modelrelease.adapters.prometheus import PrometheusEvidence, client
from modelrelease.adapters.prometheus.client import PrometheusClient
from modelrelease.adapters.prometheus.problems import MetricsError
from modelrelease.domain import codec
from modelrelease.domain.counts import Evidence
from modelrelease.domain.observed import Meta, Protocol
from modelrelease.domain.plan import Window
from modelrelease.domain.spec import Spec

from tests.fakes import samples
from tests.model_builder.servers import free_ports

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EMPTY = '{"status":"success","data":{"resultType":"matrix","result":[%s]}%s}'


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application()
        app.router.add_post("/api/v1/query", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        (port,) = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{port}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def refused(url: str, *, limit: float = 10) -> MetricsError:
    asked = PrometheusClient(url, timeout=limit)
    with pytest.raises(MetricsError) as caught:
        await asked.series("x[5m]", at=NOW)
    await asked.close()
    return caught.value


def answer(text: str, status: int = 200) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    return handler


@pytest.mark.parametrize(
    ("text", "status", "reason", "said"),
    [
        ('{"status":"error","error":"too many samples"}', 422, "MetricsRefused", "HTTP 422 (too many samples)"),
        ("no healthy backend", 503, "MetricsRefused", "HTTP 503 (no healthy backend)"),
        ("", 401, "MetricsRefused", "(no message): give the operator a token or headers that it accepts"),
        ("", 302, "MetricsRefused", "redirects are not followed"),
        ("<html>", 200, "MetricsMalformed", "must be the address of a Prometheus-compatible query API"),
        ("[]", 200, "MetricsMalformed", "must be the address"),
        ('{"status":"success","data":{"resultType":"vector","result":[]}}', 200, "MetricsMalformed", "not a matrix"),
        (EMPTY % ('{"metric":{},"values":[["now"]]}', ""), 200, "MetricsMalformed", "must be the address"),
        (EMPTY % ("", ',"warnings":["store 2 timed out"]'), 200, "MetricsIncomplete", "(store 2 timed out)"),
    ],
)
async def test_answers_that_are_none(serve: Serve, text: str, status: int, reason: str, said: str) -> None:
    error = await refused(await serve(answer(text, status)))
    assert error.problem.reason == reason
    assert said in error.problem.message


@pytest.mark.parametrize(("status", "smaller"), [(422, True), (400, True), (401, False), (500, False), (503, False)])
async def test_only_what_was_too_much_is_worth_asking_for_in_parts(serve: Serve, status: int, smaller: bool) -> None:
    error = await refused(await serve(answer("{}", status)))
    assert error.smaller is smaller


async def test_nobody_listens() -> None:
    (port,) = free_ports(1)
    error = await refused(f"http://127.0.0.1:{port}")
    assert error.problem.reason == "MetricsUnreachable"
    assert error.problem.message.endswith("start it, or correct the operator's --prometheus-url")


async def test_no_answer_in_time(serve: Serve) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    error = await refused(await serve(handler), limit=0.2)
    assert error.problem.reason == "MetricsUnreachable"
    assert "did not answer within 0.2 s" in error.problem.message


async def test_an_answer_that_never_ends_is_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 1024 * 1024)

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    error = await refused(await serve(handler))
    assert error.problem.reason == "MetricsTooLarge"
    assert "larger than 1 MiB" in error.problem.message


async def test_a_long_message_of_the_server_is_shortened_to_one_line(serve: Serve) -> None:
    error = await refused(await serve(answer("a\nb " * 1000, 500)))
    assert len(error.problem.message) < 500
    assert "\n" not in error.problem.message


async def test_the_query_is_asked_at_the_moment_and_native_histograms_are_left_out(serve: Serve) -> None:
    asked = {}

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.update(await request.post())
        series = '{"metric":{"a":"b"},"values":[[1.5,"2"]]},{"metric":{},"histograms":[]}'
        return web.Response(text=EMPTY % (series, ""))

    prometheus = PrometheusClient(await serve(handler) + "/")
    (found,) = await prometheus.series('x{a="b"}[5m]', at=NOW)
    await prometheus.close()
    assert asked == {"query": 'x{a="b"}[5m]', "time": "1795348800.000"}
    assert (found.labels, found.samples) == ({"a": "b"}, ((1.5, 2.0),))


@pytest.mark.parametrize(("value", "said"), [("NaN", "x{} has the value nan"), ("-1", "-1"), ("+Inf", "inf")])
async def test_values_that_no_counter_can_have(serve: Serve, value: str, said: str) -> None:
    text = EMPTY % (f'{{"metric":{{"__name__":"x"}},"values":[[1,"0"],[2,"{value}"]]}}', "")
    prometheus = PrometheusClient(await serve(answer(text)))
    (found,) = await prometheus.series("x[5m]", at=NOW)
    await prometheus.close()
    with pytest.raises(MetricsError, match="a counter is a number from 0 on") as caught:
        client.check_numbers(found)
    assert caught.value.problem.reason == "MetricsNotANumber"
    assert said in caught.value.problem.message


def numbers(*values: str, kind: str = "vector") -> str:
    found = ",".join(f'{{"metric":{{"pod":"p{i}"}},"value":[1,"{value}"]}}' for i, value in enumerate(values))
    result = f'[1,"{values[0]}"]' if kind == "scalar" else f"[{found}]"
    return f'{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}'


@pytest.mark.parametrize("text", [numbers("0.5"), numbers("0.5", kind="scalar")])
async def test_the_number_of_a_query(serve: Serve, text: str) -> None:
    prometheus = PrometheusClient(await serve(answer(text)))
    assert await prometheus.number("x", at=NOW) == 0.5
    await prometheus.close()


@pytest.mark.parametrize(
    ("text", "status", "reason", "said"),
    [
        (numbers(), 200, "MetricsEmpty", "Prometheus has nothing for max(x)"),
        (numbers("1", "2"), 200, "MetricsSeveral", 'gives 2 numbers, the first of {pod="p0"}: aggregate them'),
        (numbers("NaN"), 200, "MetricsNotANumber", "gives nan: guard its division by zero"),
        (numbers("+Inf"), 200, "MetricsNotANumber", "gives inf"),
        (EMPTY % ("", ""), 200, "MetricsMalformed", "matrix instead of numbers"),
        (numbers("x"), 200, "MetricsMalformed", "must be the address"),
        ('{"status":"error","error":"parse error"}', 400, "MetricsRefused", "HTTP 400 (parse error)"),
    ],
)
async def test_what_is_not_one_number(serve: Serve, text: str, status: int, reason: str, said: str) -> None:
    prometheus = PrometheusClient(await serve(answer(text, status)))
    with pytest.raises(MetricsError) as caught:
        await prometheus.number("max(x)", at=NOW)
    await prometheus.close()
    assert caught.value.problem.reason == reason
    assert said in caught.value.problem.message


@pytest.mark.parametrize(("seconds", "said"), [(-45, "s behind"), (45, "s ahead of"), (-20, ""), (20, "")])
async def test_a_clock_that_is_not_ours_is_an_error(serve: Serve, seconds: int, said: str) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        return web.Response(text=EMPTY % ("", ""), headers={"Date": date})

    prometheus = PrometheusClient(await serve(handler))
    if said:
        with pytest.raises(MetricsError) as caught:
            await prometheus.series("x[5m]", at=NOW)
        assert caught.value.problem.reason == "MetricsClock"
        assert said in caught.value.problem.message
    else:
        assert await prometheus.series("x[5m]", at=NOW) == ()
    await prometheus.close()


async def test_evidence_carries_the_problem_and_the_queries_and_recovers_by_itself(serve: Serve) -> None:
    broken = True

    async def handler(request: web.Request) -> web.StreamResponse:
        if "time_bucket" in (await request.post())["query"]:
            return web.Response(text=EMPTY % ("", ""))
        labels = '"__name__":"envoy_cluster_membership_total","envoy_cluster_name":"httproute/a/b/rule/0/backend/0"'
        series = f'{{"metric":{{{labels},"pod":"p"}},"values":[[{NOW.timestamp()},"0"]]}}'
        return web.Response(text="no", status=500) if broken else web.Response(text=EMPTY % (series, ""))

    source = PrometheusEvidence(PrometheusClient(await serve(handler)))
    meta = Meta(name="b", namespace="a", uid="u", generation=1, resource_version="1")

    async def look() -> Evidence:
        window = Window(start=NOW - timedelta(minutes=1), end=NOW, block=15)
        spec = codec.decode(Spec, samples.SPEC, "spec")
        return await source.read(
            meta=meta, spec=spec, protocols=(Protocol.HTTP,), window=window, stable="r1", candidate="r2"
        )

    first = await look()
    broken = False
    second = await look()
    await source.close()
    assert first.error is not None
    assert first.error.reason == "MetricsRefused"
    assert "envoy_cluster_upstream_rq_xx" in first.error_query
    assert "httproute/a/b/rule/0/backend/1" in first.latency_query
    assert (second.error, second.candidate.requests) == (None, 0)
