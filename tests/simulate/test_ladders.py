"""What the plan expects, held against releases that are played: low traffic, and how long steps take."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from modelrelease.cli.simulate import read_scenario
from modelrelease.cli.spec_file import read_release
from modelrelease.domain.planning import expect
from modelrelease.domain.policy import Bake, Rollout, Step
from modelrelease.domain.spec import Spec
from modelrelease.simulate.play import Ending, Run
from modelrelease.simulate.scenario import Lognormal, Scenario
from modelrelease.simulate.simulation import Simulation

from tests.simulate.releases import a_spec

FILES = Path(__file__).parents[2] / "docs" / "simulate"
HOUR, QUARTER = 3600, 900

pytestmark = pytest.mark.deep


def played(spec: Spec, scenario: Scenario, *, runs: int) -> list[Run]:
    simulation = Simulation(spec=spec, scenario=scenario, seed=7)
    return [simulation.run(index) for index in range(runs)]


def test_a_healthy_model_at_one_request_a_second_is_promoted_within_the_hour() -> None:
    spec = read_release(str(FILES / "low-traffic.yaml")).spec
    runs = played(spec, read_scenario(str(FILES / "healthy-1rps.yaml")), runs=8)
    assert not [run for run in runs if run.ending is Ending.ROLLED_BACK]
    promoted = [run.promoted_at for run in runs if run.promoted_at is not None]
    assert statistics.median([*promoted, *[9 * HOUR] * (len(runs) - len(promoted))]) < HOUR


def test_a_bad_one_is_stopped_within_a_quarter() -> None:
    spec = read_release(str(FILES / "low-traffic.yaml")).spec
    runs = played(spec, read_scenario(str(FILES / "bad-1rps.yaml")), runs=8)
    assert {run.ending for run in runs} == {Ending.ROLLED_BACK}
    assert max(run.decided_at for run in runs if run.decided_at is not None) < QUARTER
    assert sum(run.bad_requests_served for run in runs) == 0, "nobody saw the answers to copies"


@pytest.mark.parametrize(("rps", "errors", "weight"), [(50, 0.001, 5), (200, 0.01, 5), (50, 0.01, 25)])
def test_a_step_takes_about_as_long_as_the_plan_expects(rps: float, errors: float, weight: int) -> None:
    policy = Rollout(steps=(Step(weight=weight),), bake=Bake(duration=30))
    scenario = Scenario(requests_per_second=rps, error_ratio=errors, latency=Lognormal())
    runs = played(a_spec(steps=policy.steps, bake=policy.bake), scenario, runs=9)
    took = statistics.median(run.promoted_at if run.promoted_at is not None else 7200.0 for run in runs)
    expected = expect(
        policy=policy, weights=(weight,), requests_per_second=rps, error_ratio=errors, block=scenario.scrape
    )
    assert 0.5 < took / 60 / expected.total_minutes < 2
