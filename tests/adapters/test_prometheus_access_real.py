"""A real Prometheus behind TLS, client certificates, a token, a tenant's header and a path, as front ends have them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.adapters.prometheus.client import PrometheusClient
from modelrelease.domain.counts import Evidence
from modelrelease.domain.observed import Meta

from tests.adapters.certificates import Authority
from tests.adapters.prometheus_looks import envoy, read, requests, scraped
from tests.adapters.prometheus_server import CANDIDATE, Prometheus
from tests.model_builder.servers import free_ports

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Front:
    """What stands before Prometheus, and the folder of whoever may pass."""

    url: str
    authority: Authority
    access: Path
    token: str = "first"

    def write(self, *names: str, token: str | None = None) -> None:
        files = {"ca.crt": "ca.crt", "tls.crt": "client.crt", "tls.key": "client.key"}
        for name in names:
            (self.access / name).write_bytes((self.authority.folder / files[name]).read_bytes())
        if token is not None:
            (self.access / "token").write_text(token)


@pytest_asyncio.fixture(loop_scope="module")
async def front(server: Prometheus, tmp_path: Path) -> AsyncIterator[Front]:
    authority = Authority.made(tmp_path / "ca")
    for name in ("server", "client"):
        authority.sign(name)
    (tmp_path / "access").mkdir()
    (port,) = free_ports(1)
    made = Front(url=f"https://127.0.0.1:{port}/tenants", authority=authority, access=tmp_path / "access")

    async def pass_on(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {made.token}":
            return web.Response(status=401, text="who are you?")
        if request.headers.get("X-Scope-OrgID") != "team-a":
            return web.Response(status=401, text="no org id")
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{server.url}/api/v1/query", data=await request.post()) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read())

    app = web.Application()
    app.router.add_post("/tenants/api/v1/query", pass_on)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=authority.server(clients=True)).start()
    yield made
    await runner.cleanup()


async def look(front: Front, release: Meta) -> Evidence:
    source = PrometheusEvidence(PrometheusClient(front.url, access=front.access))
    evidence = await read(source, release)
    await source.close()
    return evidence


def problem(evidence: Evidence) -> str:
    assert evidence.error is not None
    return f"{evidence.error.reason}: {evidence.error.message}"


async def test_all_of_it_lets_the_operator_in_and_nothing_of_it_is_logged(
    server: Prometheus, front: Front, release: Meta, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pod = envoy(release)
    await server.play({"envoy-a": scraped(pod, events={70: lambda: pod.serve(CANDIDATE, 7)})})
    front.write("ca.crt", "tls.crt", "tls.key", token="first")
    (front.access / "header.X-Scope-OrgID").write_text("team-a")
    assert requests(await look(front, release)) == [0, 7, 0, 0, 0]
    assert "Bearer" not in caplog.text


async def test_each_part_that_is_missing_is_told_with_its_fix(server: Prometheus, front: Front, release: Meta) -> None:
    (front.access / "header.X-Scope-OrgID").write_text("team-a")
    told = problem(await look(front, release))
    assert told.startswith("MetricsUnreachable")
    assert "put the CA that signed its certificate into ca.crt of the folder --prometheus-access" in told
    front.write("ca.crt")
    told = problem(await look(front, release))
    assert told.startswith("MetricsUnreachable")
    assert "put tls.crt and tls.key into the folder" in told
    front.write("tls.crt", "tls.key")
    told = problem(await look(front, release))
    assert told.startswith("MetricsRefused")
    assert "HTTP 401 (who are you?): give the operator a token or headers that it accepts" in told
    front.write(token="first")
    assert "MetricsEmpty" in problem(await look(front, release))  # it is let in, and nothing is there yet


async def test_a_token_that_rotates_is_taken_up_without_a_restart(
    server: Prometheus, front: Front, release: Meta
) -> None:
    front.write("ca.crt", "tls.crt", "tls.key", token="first")
    (front.access / "header.X-Scope-OrgID").write_text("team-a")
    await server.play({"envoy-a": scraped(envoy(release), events={})})
    source = PrometheusEvidence(PrometheusClient(front.url, access=front.access))
    assert (await read(source, release)).error is None
    front.token = "second"
    assert "401" in problem(await read(source, release))
    front.write(token="second")
    assert (await read(source, release)).error is None
    await source.close()
