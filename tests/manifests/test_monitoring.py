"""Dashboard and alerts ask only for what the operator shows, and a real Prometheus takes all of it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from modelrelease.domain.status import Verdict, VerdictValue
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.queue import WorkQueue
from prometheus_client.exposition import generate_latest

from tests.adapters.prometheus_server import Prometheus, prometheus

FOLDER = Path(__file__).parents[2] / "manifests" / "components" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
RULES: dict[str, Any] = yaml.safe_load((FOLDER / "rules.yaml").read_text())["spec"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
VARIABLES = {"$namespace": ".*", "$release": ".*", "$__rate_interval": "5m"}


def dashboard_queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield re.sub(r"label_values\((.*), \w+\)", r"\1", variable["query"]["query"])


def filled(query: str) -> str:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


QUERIES = [filled(query) for query in dashboard_queries()] + [rule["expr"] for rule in ALERTS.values()]


def release(phase: str, stalled: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "vision", "name": "digits"},
        "status": {
            "phase": phase,
            "candidate": {"version": "2", "verdictsAt": datetime.now(UTC).isoformat(), "weight": {"observed": 4.9}},
            "conditions": [
                {"type": kind, "status": value}
                for kind, value in (("Stalled", stalled), ("AnalysisHealthy", "True"), ("RouteReady", "True"))
            ],
        },
    }


def shown(phase: str, *, stalled: str = "False", verdict: VerdictValue = VerdictValue.PASS, leads: bool = True) -> str:
    """What an operator with one release shows."""
    metrics = Metrics()
    if leads:
        metrics.show(queue=WorkQueue(), releases=lambda: [release(phase, stalled)])
    metrics.judged.tell(
        ("vision", "digits"),
        [
            Verdict(metric=name, verdict=verdict, message="", estimate=1.0, baseline=1.0, threshold=1.0, e_value=2.0)
            for name in ("error-ratio", "golden")
        ],
    )
    metrics.reconciled(result="success", seconds=0.1)
    metrics.requested(kind="Pod", verb="list", result="success")
    metrics.asked(2, "success")
    metrics.transition(namespace="vision", release="digits", phase=phase)
    return generate_latest(metrics.registry).decode()


def test_every_metric_that_is_asked_for_is_shown() -> None:
    names = set(re.findall(r"^(modelrelease_\w+)", shown("Holding"), re.MULTILINE))
    asked = {name for query in QUERIES for name in re.findall(r"\bmodelrelease_\w+", query)}
    assert asked - names == set()
    assert names - asked <= {f"modelrelease_reconcile_seconds_{part}" for part in ("count", "sum")}


def test_no_two_panels_are_in_one_place() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_says_what_to_do() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("info", "warning", "critical"), name
        assert set(rule["annotations"]) == {"summary", "description"}, name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "rules.yml").write_text(yaml.safe_dump(RULES))
    async with prometheus(folder, rules="rules.yml") as running:
        yield running


async def asked(server: Prometheus, path: str, **what: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/api/v1/{path}", params=what) as answer:
        found = await answer.json()
    assert found["status"] == "success", (what, found)
    return found["data"]


@pytest.mark.real
@pytest.mark.asyncio(loop_scope="module")
async def test_a_real_prometheus_reads_every_query_and_rule(server: Prometheus) -> None:
    for query in QUERIES:
        await asked(server, "query", query=query)
    groups = (await asked(server, "rules"))["groups"]
    assert {rule["name"] for group in groups for rule in group["rules"]} == set(ALERTS)


WELL = shown("Shifting")
FAILED_QUERIES = 'modelrelease_metrics_queries_total{result="MetricsUnreachable"} %d\n'
# What an operator shows at two scrapes, and what is raised because of it.
CASES: dict[str, tuple[tuple[str, str], set[str]]] = {
    "well": ((WELL, WELL), set()),
    "held": ((WELL, shown("Holding")), {"ModelReleaseHeld"}),
    "stalled": ((WELL, shown("RolledBack", stalled="True")), {"ModelReleaseStalled"}),
    "error": ((WELL, shown("Shifting", verdict=VerdictValue.ERROR)), {"ModelReleaseEvidenceError"}),
    "not-asked": ((WELL, shown("Shifting", verdict=VerdictValue.INCONCLUSIVE)), {"ModelReleaseGoldenNotAsked"}),
    "no-leader": ((shown("", leads=False),) * 2, {"ModelReleaseNoLeader"}),
    "no-metrics": ((WELL + FAILED_QUERIES % 3, WELL + FAILED_QUERIES % 9), {"ModelReleaseMetricsQueriesFail"}),
    "stands": (
        (WELL, re.sub(r"(queue_oldest_seconds) .*", r"\1 90", WELL)),
        {"ModelReleaseQueueStands"},
    ),
}


def stamped(text: str, moment: datetime) -> str:
    """Return the samples of a text as they were at a moment."""
    stamp = round(moment.timestamp() * 1000)
    return "".join(f"{line} {stamp}\n" for line in text.splitlines() if not line.startswith("#"))


@pytest.mark.real
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES)
async def test_an_alert_is_raised_by_its_cause_and_by_no_other(server: Prometheus, case: str) -> None:
    (before, now), expected = CASES[case]
    moment = datetime.now(UTC) - timedelta(minutes=20) * (1 + [*CASES].index(case))  # each case has a time of its own
    await server.play({"honoured": [stamped(before, moment - timedelta(seconds=30)), stamped(now, moment)]})
    at = f"{moment.timestamp():.3f}"
    found = {
        name for name, rule in ALERTS.items() if (await asked(server, "query", query=rule["expr"], time=at))["result"]
    }
    assert found == expected


def test_every_alert_is_tried() -> None:
    assert set().union(*(expected for _, expected in CASES.values())) == set(ALERTS)
