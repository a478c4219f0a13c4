"""Recorded production traffic: replayed as it was at its weights, resampled at others."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from modelrelease.cli import production
from modelrelease.cli.main import main
from modelrelease.domain.counts import Block
from modelrelease.domain.plan import Window
from modelrelease.domain.policy import Step
from modelrelease.simulate.increments import Increments
from modelrelease.simulate.play import Ending, Player, Run
from modelrelease.simulate.prometheus import Scraped, SimulatedPrometheus
from modelrelease.simulate.recorded import NothingRecorded, tape_of_blocks
from modelrelease.simulate.scenario import Fault, Lognormal, Scenario
from modelrelease.simulate.serving import Serving
from modelrelease.simulate.simulation import Simulation, fitted
from modelrelease.simulate.tape import of_traffic
from modelrelease.simulate.traffic import increments
from modelrelease.simulate.world import moment

from tests.simulate.releases import SHORT, a_spec

pytestmark = pytest.mark.deep

BEGUN = replace(SHORT, latency=Lognormal(), history=3000)
BROKEN = replace(BEGUN, fault=Fault(size=0.05, onset=400))


def production_of(scenario: Scenario) -> tuple[Run, Serving]:
    """Return a release that really went so."""
    serving = Serving(tape=of_traffic(increments(scenario, seed=5), 0), rng=np.random.default_rng(5))
    spec, _ = fitted(a_spec(), scored_tape=False)
    return Player(spec=spec, serving=serving, source=Increments(serving=serving)).play(), serving


def blocks_of(serving: Serving, until: float) -> tuple[Block, ...]:
    window = Window(start=moment(-3000), end=moment(until + 15), block=15)
    return Increments(serving=serving).evidence(window).blocks


def replay(scenario: Scenario, **rollout: object) -> tuple[Run, Run]:
    real, serving = production_of(scenario)
    tape = tape_of_blocks(blocks_of(serving, real.ended_at), scrape=15, seed=1)
    return real, Simulation(spec=a_spec(**rollout), tape=tape, seed=1).run()


@pytest.mark.parametrize("scenario", [BEGUN, BROKEN], ids=["good", "bad"])
def test_the_recorded_weights_give_the_recorded_release(scenario: Scenario) -> None:
    real, again = replay(scenario)
    assert again.ending is real.ending
    assert again.weights[: len(real.weights) - 1] == real.weights[:-1]
    assert again.bad_requests_served == pytest.approx(real.bad_requests_served, rel=0.05)
    resampled, served = (int(word) for word in again.notes[1].split() if word.isdigit())
    assert resampled <= 0.05 * served
    assert "as recorded" in again.notes[0]


def test_other_weights_are_resampled_and_said_to_be() -> None:
    real, again = replay(BROKEN, steps=(Step(weight=20),))
    assert again.ending is Ending.ROLLED_BACK
    assert {again.metric, real.metric} <= {"error-ratio", "bad-requests"}
    assert again.candidate_requests / again.ended_at == pytest.approx(0.2 * 200, rel=0.1)
    resampled, served = (int(word) for word in again.notes[1].split() if word.isdigit())
    assert resampled > 0.8 * served


def test_time_begins_with_the_candidate_and_the_past_is_history() -> None:
    real, serving = production_of(BROKEN)
    tape = tape_of_blocks(blocks_of(serving, real.ended_at), scrape=15, seed=1)
    stable = [row for rows in tape.rows.values() for row in rows if row.t <= 0]
    assert len(stable) == 200
    assert tape.recorded is not None
    assert min(row.t for version, rows in tape.rows.items() if version != "stable" for row in rows) == 15


def test_time_without_a_release_can_not_be_replayed() -> None:
    _, serving = production_of(BROKEN)
    quiet = [replace(block, candidate=block.shadow) for block in blocks_of(serving, 300)]
    with pytest.raises(NothingRecorded, match="0 of"):
        tape_of_blocks(quiet, scrape=15, seed=1)


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Answer the command's queries from the counters of a release that was played."""
    real, serving = production_of(BROKEN)
    serving.serve(real.ended_at + 300)
    named = Scraped(spec=a_spec(), serving=serving, scenario=BROKEN, rng=np.random.default_rng(1))
    named.close()

    def client(url: str) -> SimulatedPrometheus:
        assert url == "http://metrics"
        return SimulatedPrometheus(named.store)

    def now() -> datetime:
        return moment(real.ended_at + 300)

    monkeypatch.setattr(production, "PrometheusClient", client)
    monkeypatch.setattr(production, "now", now)
    return real


def spec_file(folder: Path) -> str:
    sample = Path(__file__).parents[2] / "manifests" / "samples" / "digits-minimal.yaml"
    text = sample.read_text().replace("  name: digits\n", "  name: release\n", 1)
    steps = "[{weight: 5}, {weight: 10}, {weight: 25}, {weight: 50}]"
    (folder / "release.yaml").write_text(f"{text.rstrip()}\n  rollout:\n    steps: {steps}\n")
    return str(folder / "release.yaml")


def test_the_command_reads_production(metrics: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "simulate",
        "--spec",
        spec_file(tmp_path),
        "--from-prometheus",
        "30m",
        "--prometheus-url",
        "http://metrics",
    ]
    assert main([*words, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == "rolledBack"
    assert found["metric"] in ("error-ratio", "bad-requests")
    assert found["decidedAt"] == pytest.approx(metrics.decided_at, abs=120)
    assert any("resampled" in note for note in found["notes"])


def test_the_plan_measures_the_traffic(metrics: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", spec_file(tmp_path), "--prometheus-url", "http://metrics", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["requestsPerSecond"] == pytest.approx(200, rel=0.1)
    assert found["errorRatio"] == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from-prometheus", "soon", "--prometheus-url", "http://metrics"], "'soon' is not a duration"),
        (["--from-prometheus", "9h", "--prometheus-url", "http://metrics"], "allowed is any time up to 6h"),
        (["--from-prometheus", "1h"], "needs --prometheus-url"),
    ],
)
def test_a_range_that_can_not_be_read_is_refused(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--spec", spec_file(tmp_path), *words]) == 2
    assert says in capsys.readouterr().err
