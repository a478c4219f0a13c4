"""`simulate --from-prometheus` and `plan --prometheus-url` on a real Prometheus that has scraped a release."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from modelrelease.cli import production
from modelrelease.cli.main import main
from modelrelease.simulate.counters import Store
from modelrelease.simulate.prometheus import Scraped, SimulatedPrometheus
from modelrelease.simulate.world import moment

from tests.adapters.prometheus_server import Prometheus, prometheus
from tests.simulate.releases import a_spec
from tests.simulate.test_recorded import BROKEN, production_of, spec_file

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

LATER = 300.0  # seconds after the release ended, in which the commands are called
NOTHING = "http://127.0.0.1:9"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    async with prometheus(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture(scope="module")
def recorded() -> tuple[Store, datetime]:
    """The gateway's counters in a release that was rolled back, and when the commands are called."""
    real, serving = production_of(BROKEN)
    serving.serve(real.ended_at + LATER)
    played = Scraped(spec=a_spec(), serving=serving, scenario=BROKEN, rng=np.random.default_rng(1))
    played.close()
    return played.store, moment(real.ended_at + LATER)


def shift(end: datetime) -> timedelta:
    """By how much the release is moved to have ended by now: whole hours, on which all grids begin anew."""
    return (datetime.now(UTC) - end) // timedelta(hours=1) * timedelta(hours=1)


def exposition(store: Store, *, by: timedelta) -> list[str]:
    """All samples in Prometheus' text format, scrape by scrape, later than they were by some time."""
    frames: dict[float, str] = defaultdict(str)
    for series in store.series():
        labels = ",".join(f'{name}="{value}"' for name, value in series.labels.items() if name != "__name__")
        for when, value in zip(series.times, series.values, strict=True):
            stamp = round(1000 * (when + by.total_seconds()))
            frames[when] += f"{series.labels['__name__']}{{{labels}}} {value!r} {stamp}\n"
    return [frames[when] for when in sorted(frames)]


async def said(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert await asyncio.to_thread(main, [*words, "-o", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


async def test_the_commands_read_from_a_real_prometheus_what_the_simulated_one_has(
    server: Prometheus,
    recorded: tuple[Store, datetime],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, end = recorded
    by, spec = shift(end), spec_file(tmp_path)
    replay = ("simulate", "--spec", spec, "--from-prometheus", "30m", "--prometheus-url")
    plan = ("plan", "-f", spec, "--prometheus-url")
    with monkeypatch.context() as patched:
        patched.setattr(production, "PrometheusClient", lambda url: SimulatedPrometheus(store))
        patched.setattr(production, "now", lambda: end)
        replayed, planned = await said(capsys, *replay, NOTHING), await said(capsys, *plan, NOTHING)
    await server.play({"honoured": exposition(store, by=by)})
    monkeypatch.setattr(production, "now", lambda: end + by)
    assert await said(capsys, *replay, server.url) == replayed
    assert await said(capsys, *plan, server.url) == planned
    assert (replayed["outcome"], round(planned["requestsPerSecond"], -1)) == ("rolledBack", 200)


async def test_a_prometheus_without_the_release_is_told(
    server: Prometheus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, elsewhere = spec_file(tmp_path), ("-n", "elsewhere", "--prometheus-url", server.url)
    for words in (("simulate", "--from-prometheus", "30m", "--spec"), ("plan", "-f")):
        assert await asyncio.to_thread(main, [*words, spec, *elsewhere]) == 2
        assert "knows none of the gateway's clusters httproute/elsewhere/" in capsys.readouterr().err
