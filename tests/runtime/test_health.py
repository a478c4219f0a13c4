"""The operator's HTTP port and what it counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from modelrelease.adapters.errors import Conflict
from modelrelease.runtime.health import Health
from modelrelease.runtime.metered import MeteredKube
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.queue import WorkQueue

Manifest = dict[str, Any]


@pytest.fixture
async def health() -> AsyncIterator[Health]:
    metrics = Metrics()
    metrics.reconciled(result="success", seconds=0.02)
    health = Health(registry=metrics.registry, port=0)
    yield health
    await health.stop()


async def ask(health: Health, path: str) -> tuple[int, str, str]:
    port = await health.start()
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_metrics_carry_the_content_type_that_prometheus_insists_on(health: Health) -> None:
    status, kind, text = await ask(health, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert 'modelrelease_reconciles_total{result="success"} 1.0' in text
    assert "_created" not in text


async def test_alive_and_ready_while_nothing_objects(health: Health) -> None:
    assert (await ask(health, "/healthz"))[0] == 200


async def test_a_dead_part_fails_both_and_is_named(health: Health) -> None:
    health.alive["workers run"] = lambda: False
    health.alive["watches run"] = lambda: True
    status, _, text = await ask(health, "/healthz")
    assert status == 503
    assert text == "workers run: failed\n"


async def test_what_is_alive_but_not_ready_gets_no_restart(health: Health) -> None:
    health.ready["a leader has listed everything"] = lambda: False
    assert (await ask(health, "/healthz"))[0] == 200


async def test_what_is_alive_but_not_ready_says_so(health: Health) -> None:
    health.ready["a leader has listed everything"] = lambda: False
    assert (await ask(health, "/readyz"))[0] == 503


class Kube:
    """Fails on demand."""

    async def apply(self, manifest: Manifest, **_: Any) -> Manifest:
        return manifest

    async def replace_status(self, manifest: Manifest, **_: Any) -> Manifest:
        raise Conflict("changed")


async def test_writes_are_counted_by_kind_verb_and_answer() -> None:
    metrics = Metrics()
    kube: Any = Kube()
    metered = MeteredKube(kube=kube, metrics=metrics)
    await metered.apply({"kind": "Service"}, manager="m")
    with pytest.raises(Conflict):
        await metered.replace_status({"kind": "ModelRelease"}, manager="m")
    name = "modelrelease_api_requests_total"
    value = metrics.registry.get_sample_value
    assert value(name, {"kind": "Service", "verb": "apply", "result": "success"}) == 1
    assert value(name, {"kind": "ModelRelease", "verb": "replace_status", "result": "Conflict"}) == 1


def releases() -> Iterator[Manifest]:
    seen = (datetime.now(UTC) - timedelta(seconds=90)).isoformat().replace("+00:00", "Z")
    yield {
        "metadata": {"namespace": "vision", "name": "digits"},
        "status": {
            "phase": "Progressing",
            "stable": {"version": "1"},
            "candidate": {"version": "2", "weight": {"desired": 25, "accepted": 10}, "verdictsAt": seen},
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Stalled", "status": "False"}],
        },
    }
    yield {"metadata": {"namespace": "vision", "name": "fresh"}}


async def test_releases_are_shown_as_their_status_says() -> None:
    metrics = Metrics()
    metrics.show(queue=WorkQueue(), releases=releases)
    value = metrics.registry.get_sample_value
    who = {"namespace": "vision", "release": "digits"}
    assert value("modelrelease_info", {**who, "phase": "Progressing", "stable": "1", "candidate": "2"}) == 1
    assert value("modelrelease_candidate_weight_percent", {**who, "weight": "desired"}) == 25
    assert value("modelrelease_candidate_weight_percent", {**who, "weight": "accepted"}) == 10
    assert value("modelrelease_condition", {**who, "type": "Ready"}) == 1
    assert value("modelrelease_condition", {**who, "type": "Stalled"}) == 0
    assert value("modelrelease_evidence_age_seconds", who) == pytest.approx(90, abs=5)
    fresh = {"namespace": "vision", "release": "fresh"}
    assert value("modelrelease_candidate_weight_percent", {**fresh, "weight": "desired"}) == 0
    assert value("modelrelease_evidence_age_seconds", fresh) is None


async def test_the_queue_is_shown_as_it_is() -> None:
    metrics = Metrics()
    queue = WorkQueue()
    metrics.show(queue=queue, releases=lambda: ())
    queue.add(("ns", "a"))
    queue.add_after(("ns", "b"), 60)
    value = metrics.registry.get_sample_value
    assert value("modelrelease_queue_depth") == 1
    assert value("modelrelease_queue_delayed") == 1
    assert value("modelrelease_queue_working") == 0
