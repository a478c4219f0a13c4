"""A real Prometheus that scrapes what a test plays: counters as Envoy exposes them, at moments of the test's choice.

Samples carry their own time stamps, so that minutes and days are played in one scrape.
"""

import asyncio
import contextlib
import itertools
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from localcluster.binaries import toolset
from localcluster.progress import Progress
from tests.model_builder.servers import free_ports

# What is played -> pod, scrape job, address. `duplicate` is the first pod as a second job finds it, `replaced` the
# one that has its name later; `honoured` tells pods and namespaces in its own labels.
TARGETS = {
    "envoy-a": ("envoy-a", "gateways", "10.0.0.1:19001"),
    "envoy-b": ("envoy-b", "gateways", "10.0.0.2:19001"),
    "duplicate": ("envoy-a", "duplicate", "10.0.0.1:19001"),
    "replaced": ("envoy-a", "gateways", "10.0.0.3:19001"),
    "honoured": ("", "federation", "10.0.0.4:9090"),
}
BOUNDS = ("0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "+Inf")
STABLE, CANDIDATE, MIRROR = "/backend/0", "/backend/1", "-mirror-0"

_CONFIG = """
global: {scrape_interval: 100ms, scrape_timeout: 100ms}
storage: {tsdb: {out_of_order_time_window: 30d}}
rule_files: [%s]
scrape_configs:
"""
_JOB = """
- job_name: %(name)s
  metrics_path: /%(name)s
  track_timestamps_staleness: true
  honor_labels: true
  static_configs:
    - targets: ["127.0.0.1:%(port)d"]
      labels: {namespace: gateways, pod: "%(pod)s", job: %(job)s, instance: "%(instance)s"}
"""


def binary() -> str:
    """From PATH, from the local cluster's binaries, or made now: the local cluster needs it as well."""
    kept = toolset.folder() / "bin" / "prometheus"
    found = shutil.which("prometheus") or (str(kept) if kept.exists() else None)
    if found is None:
        found = str(toolset.ensure(bin_dir=None, full=True, progress=Progress()).programs["prometheus"])
    return found


@dataclass
class Process:
    """Anything with counters, by series as text: makes one when it first counts with it, forgets all at a restart."""

    counters: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, series: str, number: float) -> None:
        self.counters[series] += number

    def restart(self) -> None:
        self.counters.clear()

    def frame(self, moment: datetime) -> str:
        """What a scrape at this moment reads."""
        stamp = round(moment.timestamp() * 1000)
        return "".join(f"{series} {value!r} {stamp}\n" for series, value in self.counters.items())


@dataclass(kw_only=True)
class Pod(Process):
    """An Envoy."""

    route: str
    protocol: str = "http"

    def _add(self, slot: str, name: str, number: float, labels: str = "") -> None:
        cluster = f'envoy_cluster_name="{self.protocol}route/{self.route}/rule/0{slot}"'
        self.add(f"envoy_cluster_{name}{{{labels}{cluster}}}", number)

    def serve(self, slot: str, requests: int, *, code_class: int = 2, took_ms: float = 3) -> None:
        """HTTP requests with an answer."""
        self._sent(slot, requests, took_ms)
        self._add(slot, "upstream_rq_xx", requests, f'envoy_response_code_class="{code_class}",')

    def call(self, slot: str, calls: int, *, failed: int = 0, took_ms: float = 3, method: str = "ModelInfer") -> None:
        """GRPC calls with an answer: HTTP 200 all of them."""
        self._sent(slot, calls, took_ms)
        self._add(slot, "upstream_rq_xx", calls, 'envoy_response_code_class="2",')
        grpc = 'envoy_grpc_bridge_method="GRPCInferenceService",envoy_grpc_bridge_service="inference",'
        self._add(slot, f"grpc_{method}_total", calls, grpc)
        for name, number in (("success", calls - failed), ("failure", failed), ("3", failed)):
            if number:
                self._add(slot, f"grpc_{method}_{name}", number, grpc)

    def hang(self, slot: str, requests: int, *, given_up: bool = True) -> None:
        """Requests that get no answer; the client has given up, or still waits."""
        self._add(slot, "upstream_rq_total", requests)
        self._add(slot, "upstream_rq_completed", 0)
        self._add(slot, "upstream_rq_active", 0 if given_up else requests)

    def _sent(self, slot: str, requests: int, took_ms: float) -> None:
        self._add(slot, "upstream_rq_total", requests)
        self._add(slot, "upstream_rq_completed", requests)
        self._add(slot, "upstream_rq_active", 0)
        for bound in BOUNDS:
            self._add(slot, "upstream_rq_time_bucket", requests * (took_ms <= float(bound)), f'le="{bound}",')

    def frame(self, moment: datetime) -> str:
        for slot in (STABLE, CANDIDATE):
            self._add(slot, "membership_total", 0)
        return super().frame(moment)


@dataclass
class Prometheus:
    """The running server."""

    url: str
    exposed: dict[str, str] = field(default_factory=dict)
    plays: Iterator[int] = field(default_factory=itertools.count)

    async def play(self, frames: dict[str, list[str]]) -> None:
        """Let each pod expose its frames until they are stored.

        A busy machine may miss a scrape; samples that come again are the same samples. Each
        scrape is stored as a whole, so that a sample of the play's own tells that all are.
        """
        marker = f'play{{number="{next(self.plays)}"}}'
        stamp = round(datetime.now(UTC).timestamp() * 1000)
        self.exposed = {pod: "".join(texts) + f"{marker} 1 {stamp}\n" for pod, texts in frames.items()}
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while await self._stored(session, marker) < len(frames):  # noqa: ASYNC110 - another process is awaited
                await asyncio.sleep(0.02)
        self.exposed = {}

    async def _stored(self, session: aiohttp.ClientSession, marker: str) -> int:
        async with session.get(f"{self.url}/api/v1/query", params={"query": f"{marker}[1h]"}) as answer:
            return len((await answer.json())["data"]["result"])

    async def expose(self, request: web.Request) -> web.Response:
        text = self.exposed.get(request.match_info["name"], "")
        return web.Response(text=text, content_type="text/plain", charset="utf-8")


@contextlib.asynccontextmanager
async def prometheus(folder: Path, *, rules: str = "") -> AsyncIterator[Prometheus]:
    """Yield a running server; `rules` is a file of rules in its folder."""
    port, exporter_port = free_ports(2)
    server = Prometheus(url=f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_get("/{name}", server.expose)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", exporter_port).start()
    jobs = "".join(
        _JOB % {"name": name, "pod": pod, "job": job, "instance": instance, "port": exporter_port}
        for name, (pod, job, instance) in TARGETS.items()
    )
    (folder / "prometheus.yml").write_text(_CONFIG % rules + jobs)
    log = (folder / "prometheus.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        binary(),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=log,
        stderr=log,
    )
    try:
        if not await _ready(server.url, process):
            pytest.fail(f"Prometheus did not start: see {log.name}")
        yield server
    finally:
        process.terminate()
        await process.wait()
        await runner.cleanup()
        log.close()


async def _ready(url: str, process: asyncio.subprocess.Process) -> bool:
    deadline = asyncio.get_running_loop().time() + 30
    async with aiohttp.ClientSession() as session:
        while asyncio.get_running_loop().time() < deadline and process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{url}/-/ready") as answer:
                    if answer.status == 200:
                        return True
            await asyncio.sleep(0.05)
    return False
