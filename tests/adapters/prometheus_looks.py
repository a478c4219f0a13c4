"""Looks at what a real Prometheus has scraped: a release of its own for each test, five blocks of a minute."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.adapters.prometheus.client import PrometheusClient
from modelrelease.domain import codec
from modelrelease.domain.counts import Evidence
from modelrelease.domain.observed import Meta, Protocol, Slot
from modelrelease.domain.plan import Window
from modelrelease.domain.policy import CustomMetric
from modelrelease.domain.spec import Spec

from tests.adapters.prometheus_server import Pod, Process, Prometheus, prometheus
from tests.fakes import samples

END = datetime.now(UTC).replace(microsecond=0)
START = END - timedelta(seconds=330)
SCRAPES = range(-10, 331, 15)  # the last two are there to tell that five blocks of a minute are complete
NAMES = itertools.count()
SPEC = codec.decode(Spec, samples.SPEC, "spec")

Events = Mapping[int, Callable[[], None]]


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


def scraped(*pods: Process, events: Events, when: range = SCRAPES, lost: range = range(0)) -> list[str]:
    """What the scrapes of one process read while things happen: each event between two scrapes."""
    frames, left = [], dict(sorted(events.items()))
    for second in when:
        for due in [moment for moment in left if moment < second]:
            left.pop(due)()
        if second not in lost:
            frames.append("".join(pod.frame(at(second)) for pod in pods))
    return frames


async def read(
    source: PrometheusEvidence,
    release: Meta,
    *protocols: Protocol,
    start: datetime = START,
    end: datetime = END,
    block: float | None = 60,
    history: float | None = None,
    mirror: Slot | None = None,
    metrics: tuple[CustomMetric, ...] = (),
    before: datetime | None = None,
) -> Evidence:
    analysis = replace(SPEC.rollout.analysis, metrics=metrics)
    return await source.read(
        meta=release,
        spec=replace(SPEC, rollout=replace(SPEC.rollout, analysis=analysis)),
        protocols=protocols or (Protocol.HTTP,),
        window=Window(start=start, end=end, block=block, history=history, mirror=mirror, before=before),
        stable="r1",
        candidate="r2",
    )


def requests(evidence: Evidence, arm: str = "candidate") -> list[float]:
    assert evidence.error is None
    return [getattr(block, arm).requests for block in evidence.blocks]


def failures(evidence: Evidence, arm: str = "candidate") -> list[float]:
    return [getattr(block, arm).failures for block in evidence.blocks]


def within(evidence: Evidence, bound: float, arm: str = "candidate") -> list[float]:
    return [dict(getattr(block, arm).latency)[bound] for block in evidence.blocks]
