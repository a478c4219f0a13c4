"""The metrics of Triton that the documentation offers, on a real Prometheus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.cli import queries
from modelrelease.domain import codec
from modelrelease.domain.observed import Meta
from modelrelease.domain.policy import CustomMetric

from tests.adapters.prometheus_looks import END, at, envoy, read, requests, scraped
from tests.adapters.prometheus_server import CANDIDATE, Process, Prometheus

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

PAGE = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()
METRICS = tuple(
    codec.decode(CustomMetric, metric, "metrics")
    for block in re.findall(r"^```yaml\n(metrics:.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for metric in yaml.safe_load(block)["metrics"]
)
REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")


class Triton(Process):
    """One serving pod, as its metrics port shows it."""

    def __init__(self, release: Meta, revision: str) -> None:
        super().__init__()
        self.labels = (
            f'model="digits",version="1",namespace="{release.namespace}",pod="{release.name}-{revision}-6c-x1"'
        )
        self.infer(0)

    def infer(self, success: int, *, failure: int = 0, queue_us: int = 0) -> None:
        self.add(f"nv_inference_request_success{{{self.labels}}}", success)
        for reason in REASONS:
            count = failure if reason == "BACKEND" else 0
            self.add(f'nv_inference_request_failure{{{self.labels},reason="{reason}"}}', count)
        self.add(f"nv_inference_queue_duration_us{{{self.labels}}}", success * queue_us)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
async def test_lint_has_nothing_against_them(metric: CustomMetric) -> None:
    assert list(queries.check("metrics[0]", metric)) == []


async def test_failures_queue_and_what_triton_does_not_count(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    gateway, stable, candidate = envoy(release), Triton(release, "r1"), Triton(release, "r2")

    def served() -> None:
        gateway.serve(CANDIDATE, 60)
        gateway.serve(CANDIDATE, 40, code_class=4)  # refused for their shape: Triton counts them nowhere
        candidate.infer(54, failure=6, queue_us=7000)
        stable.infer(500, failure=1, queue_us=90)

    gateway.serve(CANDIDATE, 1)  # increase() sees nothing of a counter's first value
    events = dict.fromkeys(range(215, 320, 15), served)
    frames = scraped(gateway, stable, candidate, events=events)
    await server.play({"honoured": frames})
    evidence = await read(source, release, metrics=METRICS)
    assert evidence.problems == {}
    assert sum(requests(evidence)) == 500
    assert [(c.name, c.bad, c.total) for c in evidence.candidate.custom] == [("model-failures", 30, 300)]
    assert [(c.name, c.bad, c.total) for c in evidence.stable.custom] == [("model-failures", 5, 2505)]
    values = {value.name: value.bad for value in evidence.values}
    assert values["queue-ms"] == pytest.approx(7)
    assert values["uncounted"] == pytest.approx(0.46, abs=0.01)


async def test_without_traffic_the_values_say_nothing(
    server: Prometheus, source: PrometheusEvidence, release: Meta
) -> None:
    frames = scraped(envoy(release), Triton(release, "r1"), Triton(release, "r2"), events={})
    await server.play({"honoured": frames})
    evidence = await read(source, release, metrics=METRICS)
    assert evidence.problems == {}
    assert [value.total for value in evidence.values] == [0, 0]
    assert evidence.end == END > at(0)
