"""Planned ladders: what a candidate may cost at first, how fast weight grows, what a step takes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.domain.planning import (
    GROWTH,
    PROVEN_GROWTH,
    UNKNOWN_TRAFFIC,
    Ladder,
    evidence_per_request,
    expect,
    pass_requests,
    plan_ladder,
    reaction_seconds,
)
from modelrelease.domain.policy import Analysis, ErrorRate, Rollout, Shadow

PLAIN, MIRRORED = Rollout(), Rollout(shadow=Shadow())


def plan(policy: Rollout = PLAIN, *, rps: float = 50, errors: float = 0.01) -> Ladder:
    return plan_ladder(policy=policy, requests_per_second=rps, error_ratio=errors, block=15)


@given(st.floats(0.01, 1e5), st.floats(0, 1), st.sampled_from([PLAIN, MIRRORED]), st.integers(1, 10_000))
def test_a_ladder_rises_within_its_growth_from_what_the_budget_affords(
    rps: float, errors: float, policy: Rollout, budget: int
) -> None:
    policy = replace(policy, analysis=Analysis(bad_request_budget=budget))
    ladder = plan(policy, rps=rps, errors=errors)
    growth = GROWTH if policy.shadow is None else PROVEN_GROWTH
    assert all(low < high <= low * growth for low, high in zip(ladder.weights, (*ladder.weights[1:], 100), strict=True))
    assert ladder.at_risk <= budget or ladder.weights[0] == 1
    assert all(minutes >= 2 for minutes in ladder.minutes)  # warm-up and the shortest look are always needed


def test_more_traffic_begins_lower_and_less_takes_one_step() -> None:
    firsts = [plan(rps=rps).weights[0] for rps in (1, 10, 50, 1000)]
    assert firsts == sorted(firsts, reverse=True)
    assert plan(rps=1).weights == (50,)
    assert plan(rps=1000).weights[0] == 1


def test_a_full_mirror_takes_fewer_and_larger_steps_in_less_time() -> None:
    for rps in (10, 50, 1000):
        with_mirror, without = plan(MIRRORED, rps=rps), plan(rps=rps)
        assert len(with_mirror.weights) <= len(without.weights)
        assert with_mirror.total_minutes < without.total_minutes or rps == 10
    assert plan(MIRRORED).total_minutes <= 8
    assert (plan().weights, plan(MIRRORED).weights) == ((5, 25), (5, 50))


@pytest.mark.parametrize("rps", [0, -1, math.nan, math.inf])
def test_without_a_rate_the_ladder_is_the_usual_one_and_takes_for_ever(rps: float) -> None:
    ladder = plan(rps=rps)
    assert ladder.weights == UNKNOWN_TRAFFIC
    assert ladder.total_minutes == math.inf


def test_the_distance_of_one_sample_is_walds() -> None:
    # Without controls stable's ratio is free: the line is reached where it costs nothing but the candidate's part.
    got = evidence_per_request(candidate=0.02, stable=0.0, controls=1e12, absolute=0.01, relative=1.0)
    assert got == pytest.approx(0.02 * math.log(2) + 0.98 * math.log(0.98 / 0.99), rel=1e-3)


@given(st.floats(0, 0.5), st.floats(0.001, 0.2), st.floats(0, 1), st.floats(0.1, 100))
def test_the_distance_is_the_smallest_along_the_line(p: float, absolute: float, rho: float, controls: float) -> None:
    def kl(x: float, y: float) -> float:
        y = min(max(y, 1e-12), 1 - 1e-12)
        return sum(a * math.log(a / b) for a, b in ((x, y), (1 - x, 1 - y)) if a > 0)

    got = evidence_per_request(candidate=p, stable=p, controls=controls, absolute=absolute, relative=1 + rho)
    top = (1 - absolute) / (1 + rho)
    grid = [top * i / 500 for i in range(501)]
    assert got <= min(kl(p, absolute + (1 + rho) * u) + controls * kl(p, u) for u in grid) + 1e-9


def test_a_smaller_margin_takes_more_requests_and_none_takes_all() -> None:
    def needed(**margin: float) -> float:
        policy = Rollout(analysis=Analysis(error_rate=ErrorRate(**margin)))
        return pass_requests(policy=policy, error_ratio=0.01, controls=19)

    assert needed(max_increase=0.001) > 3 * needed() > 0
    assert needed(max_increase=0.0, max_relative_increase=0.0) == math.inf


def test_noise_takes_longer() -> None:
    steady, noisy = (
        expect(policy=PLAIN, weights=(5,), requests_per_second=50, error_ratio=0.01, block=15, noise=n)
        for n in (0, 0.04)
    )
    assert noisy.total_minutes > 3 * steady.total_minutes


def test_the_reaction_takes_two_scrapes_at_least() -> None:
    assert reaction_seconds(15) > 30
