"""The ladder for arrays against the release that `decide` walks, and the rest of the benchmark's own code."""

from dataclasses import replace

import numpy
import pytest
from modelrelease.domain.analysis import budget
from modelrelease.domain.analysis.kernel import Counts, Line
from modelrelease.domain.analysis.lanes import Lanes, fresh
from modelrelease.domain.policy import Bake
from modelrelease.simulate.scenario import Fault, Scenario
from modelrelease.simulate.simulation import Simulation

from benchmarks.decisions import arms, ours, summary, targets
from benchmarks.decisions.cells import Cell, Group, Plan, cells
from benchmarks.decisions.outcomes import Outcomes
from benchmarks.decisions.traffic import Arm, Traffic, drawn
from tests.simulate.releases import a_spec

BUSY = Scenario(requests_per_second=1000, error_ratio=0.01, duration=2400, history=7200)


def cell(scenario: Scenario) -> Cell:
    return Cell(name="a cell", group=Group.NULL, scenario=scenario, plan=Plan.LADDER)


@pytest.mark.deep
@pytest.mark.parametrize("fault", [None, Fault(size=0.05), Fault(size=0.01)], ids=["healthy", "+5 pp", "+1 pp"])
def test_the_array_s_ladder_takes_the_time_that_decide_takes(fault: Fault | None) -> None:
    scenario = replace(BUSY, fault=fault)
    full, traffic = drawn(scenario, seed=11, replications=100)
    found, _, _ = ours.run(cell(scenario), full, traffic, seed=12)
    runs = [Simulation(spec=a_spec(bake=Bake(duration=0)), scenario=scenario, seed=13).run(n) for n in range(15)]
    told = [run.promoted_at if fault is None else run.decided_at for run in runs]
    assert found.promoted.all() if fault is None else found.rolled_back.all()
    assert all(moment is not None for moment in told)
    assert abs(numpy.median(found.at) - numpy.median([moment or 0.0 for moment in told])) <= 2 * scenario.scrape


def test_the_same_seed_gives_the_same_runs() -> None:
    scenario = replace(BUSY, duration=600, fault=Fault(size=0.01))
    full, traffic = drawn(scenario, seed=3, replications=5)
    once, again = (ours.run(cell(scenario), full, traffic, seed=4)[0] for _ in range(2))
    assert numpy.array_equal(once.weights, again.weights)


def test_the_excess_of_many_runs_is_the_engine_s_of_each() -> None:
    rng = numpy.random.default_rng(5)
    noise, floor, runs = rng.uniform(0, 0.01, 30), rng.uniform(1, 2, 30), 30
    contract = Lanes(
        fail=Line(numpy.array([0.00125]), numpy.array([1.025])),
        accept=Line(numpy.array([0.005]), numpy.array([1.1])),
        weight=numpy.array([1.0]),
    )
    memory = fresh((runs, 1), noise=noise[:, None], floor=floor[:, None])
    together, alone = numpy.zeros(runs), [0.0] * runs
    for _ in range(20):
        n_s, n_c = rng.integers(0, 900, runs), rng.integers(0, 60, runs)
        counts = numpy.stack([rng.binomial(n_s, 0.01), n_s, rng.binomial(n_c, 0.05), n_c], axis=-1).astype(float)
        together = arms.excess(together, counts=counts, memory=memory, contract=contract)
        alone = [
            budget.fold(
                before,
                counts=Counts(*(row[[i]] for i in range(4))),
                line=(0.00125, 1.025),
                noise=(float(noise[run]), float(floor[run])),
            )
            for run, (before, row) in enumerate(zip(alone, counts, strict=True))
        ]
    assert together == pytest.approx(alone)
    assert together.max() > 5


def test_every_cell_has_a_name_of_its_own() -> None:
    names = [(one.group, one.name) for one in cells()]
    assert len(set(names)) == len(names)


def test_a_fault_that_waits_for_its_weight_is_not_there_before() -> None:
    scenario = replace(BUSY, duration=300, fault=Fault(size=0.5, after_weight=100, onset=60.0))
    full, _ = drawn(scenario, seed=6, replications=2)
    shares = numpy.full(2, 0.5)
    started = numpy.array([0.0, numpy.inf])
    for scrape, bad in ((2, False), (10, True)):
        found = arms.counts(
            full,
            scrape=full.first + scrape,
            share=shares,
            mirror=None,
            bounds=(),
            started=started,
            rng=numpy.random.default_rng(8),
        )
        ratios = found[:, 0, 2] / found[:, 0, 3]
        assert bool(ratios[0] > 0.4) is bad
        assert ratios[1] < 0.05


def runs(*, promoted: list[bool], rolled_back: list[bool], at: list[float]) -> summary.Part:
    count = len(promoted)
    empty = numpy.zeros((4, count, 0), dtype=numpy.int64)
    arm = Arm(requests=numpy.full((4, count), 100), failures=numpy.zeros((4, count), dtype=int), within=empty)
    traffic = Traffic(scrape=15.0, bounds=(), stable=arm, candidate=arm, harm=numpy.full((4, 1), 0.1))
    outcomes = Outcomes(
        promoted=numpy.array(promoted),
        rolled_back=numpy.array(rolled_back),
        at=numpy.array(at),
        weights=numpy.full((4, count), 0.5),
    )
    return summary.part(outcomes, traffic=traffic, onset=60.0)


def test_a_summary_counts_medians_and_what_came_before_the_fault() -> None:
    found = summary.summarize(
        [
            runs(promoted=[True, False], rolled_back=[False, True], at=[600.0, 30.0]),
            runs(promoted=[False, False], rolled_back=[True, False], at=[180.0, numpy.nan]),
        ]
    )
    assert (found.runs, found.promoted, found.rolled_back, found.undecided) == (4, 0.25, 0.5, 0.25)
    assert (found.minutes_promoted, found.minutes_rolled_back, found.early) == (10.0, 2.0, 0.25)
    assert found.bad_median == pytest.approx(4 * 100 * 0.1 * 0.5)


def test_no_hit_in_two_thousand_runs_still_allows_some() -> None:
    """The rule of three: about 3 / n."""
    assert summary.upper(0, 2000) == pytest.approx(0.0015, abs=1e-4)
    assert summary.upper(12, 2000) < 0.01 < summary.upper(13, 2000)


def test_a_broken_promise_is_told_as_one() -> None:
    good = summary.summarize([runs(promoted=[True] * 4, rolled_back=[False] * 4, at=[1200.0] * 4)]).to_json()
    late = good | {"minutes_promoted": 41.0}
    key = "healthy: 1 %, 50 rps"
    for ours_found, met in ((good, True), (late, False)):
        results = {key: {"group": "healthy", "name": "1 %, 50 rps", "rules": {"ours": ours_found}}}
        (check,) = [one for one in targets.targets(results) if one.what == "time to promote, 50 rps, base 1 %"]
        assert check.met is met
    unmeasured = [check.met for check in targets.targets({})]
    assert set(unmeasured) == {None}
