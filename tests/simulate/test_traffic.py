"""Synthetic traffic: what it adds up to, that it is the same by seed, and that thinning keeps what belongs together."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from modelrelease.domain import codec
from modelrelease.simulate.scenario import (
    Autoscaling,
    Burst,
    ColdStart,
    Drift,
    Fault,
    FaultKind,
    Lognormal,
    Outages,
    Scenario,
    Scope,
)
from modelrelease.simulate.thinning import keep, split, split_cumulative
from modelrelease.simulate.traffic import Counts, Traffic, increments

CELLS = arrays.arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.integers(0, 1000))


def draw(scenario: Scenario, *, replications: int = 40, seed: int = 7) -> Traffic:
    return increments(scenario, seed=seed, replications=replications)


def ratio(counts: Counts, where: slice = slice(None)) -> float:
    return float(counts.failures[where].sum() / counts.requests[where].sum())


@given(CELLS, st.floats(0, 1), st.integers(0, 2**32))
def test_cells_are_split_into_what_was_kept(cells: np.ndarray, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept = keep(rng, cells.sum(axis=-1), share)
    parts = split(rng, cells, kept)
    assert (parts.sum(axis=-1) == kept).all()
    assert ((parts >= 0) & (parts <= cells)).all()


@given(CELLS, st.floats(0, 1), st.integers(0, 2**32))
def test_a_thinned_histogram_is_one_of_the_kept_requests(cells: np.ndarray, share: float, seed: int) -> None:
    rng, cumulative = np.random.default_rng(seed), np.cumsum(cells, axis=-1)
    kept = keep(rng, cumulative[..., -1], share)
    thinned = split_cumulative(rng, cumulative, kept)
    assert (np.diff(thinned, axis=-1) >= 0).all()
    assert (thinned[..., -1] == kept).all()


def test_each_cell_keeps_its_share() -> None:
    cells = np.tile(np.array([10, 200, 790]), (4000, 1))
    rng = np.random.default_rng(1)
    parts = split(rng, cells, keep(rng, cells.sum(axis=-1), 0.05))
    assert parts.mean(axis=0) == pytest.approx([0.5, 10, 39.5], rel=0.05)


@settings(max_examples=20)
@given(st.floats(0, 1), st.integers(0, 2**32))
def test_never_more_failures_than_requests_are_left(share: float, seed: int) -> None:
    counts = draw(Scenario(error_ratio=0.5, duration=300, history=0, latency=Lognormal()), replications=3).candidate
    left = counts.thin(np.random.default_rng(seed), share)
    assert (left.failures <= left.requests).all()
    assert (left.requests - left.failures <= counts.requests - counts.failures).all()
    assert left.latency is not None
    assert (left.latency[..., -1] == left.requests).all()


def test_the_same_seed_gives_the_same_traffic_and_another_does_not() -> None:
    scenario = Scenario(duration=600, history=600, latency=Lognormal(), bursts=(Burst(cv=0.5),), fault=Fault(size=0.1))
    one, same, other = draw(scenario, seed=1), draw(scenario, seed=1), draw(scenario, seed=2)
    for arm in ("stable", "candidate", "shadow"):
        assert (getattr(one, arm).latency == getattr(same, arm).latency).all()
        assert (getattr(one, arm).failures == getattr(same, arm).failures).all()
    assert (one.stable.requests != other.stable.requests).any()


def test_traffic_has_the_rate_and_the_ratio_that_were_asked_for() -> None:
    traffic = draw(Scenario(requests_per_second=80, error_ratio=0.03, duration=1800, history=900))
    assert traffic.times[0] == -885
    assert traffic.times[traffic.first] == 15
    assert traffic.stable.requests.mean() == pytest.approx(80 * 15, rel=0.01)
    for counts in (traffic.stable, traffic.candidate, traffic.shadow):
        assert ratio(counts) == pytest.approx(0.03, rel=0.05)


def test_a_fault_is_the_candidates_alone_and_lasts_from_onset_to_end() -> None:
    scenario = Scenario(duration=1800, history=0, fault=Fault(size=0.05, onset=600, end=1200))
    traffic = draw(scenario)
    before, during, after = slice(0, 40), slice(40, 80), slice(80, None)
    for counts in (traffic.candidate, traffic.shadow):
        assert ratio(counts, before) == pytest.approx(0.01, rel=0.1)
        assert ratio(counts, during) == pytest.approx(0.06, rel=0.05)
        assert ratio(counts, after) == pytest.approx(0.01, rel=0.1)
    assert ratio(traffic.stable) == pytest.approx(0.01, rel=0.05)
    healthy = draw(replace(scenario, fault=None))
    assert (traffic.candidate.failures[before] == healthy.candidate.failures[before]).all()


def test_a_fault_that_waits_begins_when_it_is_told_to() -> None:
    traffic = draw(Scenario(duration=1200, history=0, fault=Fault(size=0.5, after_weight=25)), replications=2)
    assert ratio(traffic.candidate) < 0.02
    candidate, _ = traffic.arms(np.array([600.0, np.inf]))
    assert candidate.failures[:40, 0].sum() == traffic.candidate.failures[:40, 0].sum()
    assert ratio(Counts(requests=candidate.requests[40:, :1], failures=candidate.failures[40:, :1])) > 0.45
    assert (candidate.failures[:, 1] == traffic.candidate.failures[:, 1]).all()


@pytest.mark.parametrize("scope", list(Scope))
def test_bursts_keep_the_mean_and_are_felt_by_whom_they_should(scope: Scope) -> None:
    scenario = Scenario(
        requests_per_second=1000, duration=3600, history=0, pods=2, bursts=(Burst(cv=0.7, length=60, scope=scope),)
    )
    traffic = draw(scenario, replications=100)
    stable, candidate = traffic.stable.failures.astype(float), traffic.candidate.failures.astype(float)
    assert ratio(traffic.stable) == pytest.approx(0.01, rel=0.1)

    def together(one: np.ndarray, other: np.ndarray) -> bool:
        return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) > 0.5

    assert together(stable, candidate) is (scope is Scope.SHARED)
    assert together(stable[..., 0], stable[..., 1]) is (scope is not Scope.POD)
    lagged = float(np.corrcoef(stable[:-1].ravel(), stable[1:].ravel())[0, 1])
    assert lagged > 0.4, "an episode lasts for several scrapes"


def test_outages_and_drift_hit_both_versions() -> None:
    outages = draw(Scenario(duration=7200, history=0, outages=Outages(every=600, length=60, error_ratio=0.5)))
    down = outages.stable.failures > 0.3 * outages.stable.requests
    assert 0.05 < down.mean() < 0.15
    assert ratio(Counts(requests=outages.candidate.requests[down], failures=outages.candidate.failures[down])) > 0.4
    wave = draw(Scenario(duration=3600, history=0, drift=Drift(error_ratio=0.04, half_period=3600)))
    assert ratio(wave.stable, slice(0, 10)) == pytest.approx(0.01, rel=0.2)
    assert ratio(wave.candidate, slice(-10, None)) == pytest.approx(0.04, rel=0.1)


def test_latency_is_lognormal_and_regresses_as_a_whole_or_in_its_tail() -> None:
    def slower_than(counts: Counts, index: int) -> float:
        assert counts.latency is not None
        return 1.0 - float(counts.latency[..., index].sum() / counts.requests.sum())

    quick = Lognormal(median=50, sigma=0.5, bounds=(50.0, 100.0, 500.0))
    whole = Fault(kind=FaultKind.LATENCY, size=2)
    tail = replace(whole, size=20, share=0.03)
    scenario = Scenario(duration=900, history=0, latency=quick, fault=whole)
    traffic, in_tail = draw(scenario), draw(replace(scenario, fault=tail))
    assert slower_than(traffic.stable, 0) == pytest.approx(0.5, rel=0.02)
    assert slower_than(traffic.candidate, 1) == pytest.approx(0.5, rel=0.02)
    assert slower_than(in_tail.candidate, 0) == pytest.approx(0.5, rel=0.05)
    assert slower_than(in_tail.candidate, 2) == pytest.approx(0.03 * 0.9, rel=0.15)


def test_a_cold_start_is_over_after_its_length() -> None:
    cold = ColdStart(length=60, slower=10, errors=0.2)
    traffic = draw(Scenario(duration=600, history=0, latency=Lognormal(), cold_start=cold))
    assert ratio(traffic.candidate, slice(0, 4)) == pytest.approx(0.21, rel=0.1)
    assert ratio(traffic.candidate, slice(4, None)) < 0.015
    assert ratio(traffic.stable, slice(0, 4)) < 0.015
    assert traffic.candidate.latency is not None
    medians = traffic.candidate.latency[..., 6].sum(axis=(1, 2)) / traffic.candidate.requests.sum(axis=(1, 2))
    assert medians[0] < 0.5 < medians[10]


def test_retries_make_requests_and_failures_of_failures() -> None:
    plain, retried = (draw(Scenario(error_ratio=0.2, duration=900, history=0, retries=r)) for r in (0.0, 1.0))
    assert retried.stable.requests.sum() == pytest.approx(1.2 * plain.stable.requests.sum(), rel=0.01)
    assert ratio(retried.stable) == pytest.approx(0.2, rel=0.02)


def test_autoscaled_pods_share_the_same_traffic() -> None:
    scaled = draw(Scenario(duration=1800, history=0, pods=3, autoscaling=Autoscaling(every=300)))
    assert scaled.stable.requests.sum(axis=2).mean() == pytest.approx(750, rel=0.02)
    live = (scaled.stable.requests > 0).sum(axis=2)
    assert set(np.unique(live)) == {1, 2, 3}
    assert (scaled.there.sum(axis=1)[:, None] == live).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ({"requestsPerSecond": 0}, "requestsPerSecond is 0"),
        ({"errorRatio": 1.5}, "errorRatio is 1.5: allowed are 0 to 1"),
        ({"fault": {"size": 2}}, "fault: size is 2"),
        ({"fault": {"size": 1.5, "kind": "latency"}}, "add latency"),
        ({"fault": {"size": 0.1, "onset": "10m", "end": "5m"}}, "end must be after onset"),
        ({"fault": {"size": 0.1, "kind": "gremlins"}}, "fault.kind"),
        ({"fault": {}}, "fault.size: is required"),
        ({"bursts": [{"cv": -1}]}, "bursts: cv is -1"),
        ({"latency": {"bounds": [5.0, 1.0]}}, "rising"),
        ({"autoscaling": {"fewest": 3}}, "above pods"),
        ({"history": "soon"}, "'soon' is not a duration"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_with_a_sentence(text: object, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        codec.decode(Scenario, text, "scenario")
