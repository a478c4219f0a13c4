"""Verdicts on the share of failed requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.domain.analysis import judge
from modelrelease.domain.observed import Arm, Evidence, Problem
from modelrelease.domain.spec import Analysis, ErrorRate
from modelrelease.domain.status import Verdict, VerdictValue

START, END = datetime(2026, 11, 22, 12, 0, tzinfo=UTC), datetime(2026, 11, 22, 12, 5, tzinfo=UTC)
POLICY = Analysis(min_requests=50, error_rate=ErrorRate(max_increase=0.01))


def errors(candidate: tuple[float, float], stable: tuple[float, float], policy: Analysis = POLICY) -> Verdict:
    """The verdict on (failures, requests) of both arms."""
    arms = [Arm(failures=failures, requests=requests) for failures, requests in (candidate, stable)]
    evidence = Evidence(start=START, end=END, candidate=arms[0], stable=arms[1], error_query="the query")
    (verdict,) = (v for v in judge(policy=policy, evidence=evidence) if v.metric == "error-ratio")
    return verdict


def test_a_failing_candidate_fails_and_the_sentence_has_all_the_numbers() -> None:
    verdict = errors((17, 412), (8, 7800))
    assert verdict.verdict is VerdictValue.FAIL
    assert verdict.message == (
        "error ratio 4.13 % against 0.10 % of stable (allowed: at most 1.00 points more) from 412 requests; "
        "it is at least 2.02 %"
    )
    assert verdict.estimate == pytest.approx(17 / 412)
    assert verdict.baseline == pytest.approx(8 / 7800)
    assert verdict.threshold == pytest.approx(8 / 7800 + 0.01)
    assert (verdict.samples, verdict.query) == (412, "the query")


def test_a_candidate_within_the_margin_passes() -> None:
    verdict = errors((3, 400), (8, 7800))
    assert verdict.verdict is VerdictValue.PASS
    assert "0.75 % against 0.10 % of stable" in verdict.message


def test_too_few_requests_are_inconclusive_and_say_how_many_are_needed() -> None:
    verdict = errors((0, 49), (0, 900))
    assert verdict.verdict is VerdictValue.INCONCLUSIVE
    assert verdict.message.endswith("from 49 requests, of at least 50 that are needed")
    assert errors((0, 50), (0, 900)).verdict is VerdictValue.PASS


def test_no_candidate_request_is_inconclusive_without_an_estimate() -> None:
    verdict = errors((0, 0), (0, 900))
    assert (verdict.verdict, verdict.estimate, verdict.samples) == (VerdictValue.INCONCLUSIVE, None, 0)


def test_nothing_to_compare_with_is_inconclusive_even_where_all_fails() -> None:
    verdict = errors((500, 500), (0, 0))
    assert verdict.verdict is VerdictValue.INCONCLUSIVE
    assert "nothing to compare 500 candidate requests with" in verdict.message


def test_more_than_allowed_but_not_proven_is_inconclusive() -> None:
    verdict = errors((2, 60), (0, 5000))
    assert verdict.verdict is VerdictValue.INCONCLUSIVE
    assert verdict.message.endswith("more than allowed, but not yet proven by so few requests")


@pytest.mark.parametrize("minimum", [50, 100_000])
def test_a_candidate_that_fails_everything_does_not_burn_the_minimum_first(minimum: int) -> None:
    policy = replace(POLICY, min_requests=minimum)
    assert errors((20, 20), (0, 400), policy).verdict is VerdictValue.FAIL


def test_a_handful_of_failures_before_the_minimum_is_no_proof() -> None:
    assert errors((9, 9), (0, 4000)).verdict is VerdictValue.INCONCLUSIVE
    assert errors((10, 10), (0, 4000)).verdict is VerdictValue.FAIL


def test_a_shared_outage_fails_nobody() -> None:
    assert errors((210, 400), (3900, 7800)).verdict is not VerdictValue.FAIL


def test_few_stable_requests_without_a_failure_do_not_make_an_equal_candidate_fail() -> None:
    # Both fail 3 %; stable had five requests and was lucky.
    assert errors((12, 400), (0, 5)).verdict is VerdictValue.INCONCLUSIVE


def test_one_unlucky_stable_request_does_not_excuse_the_candidate() -> None:
    assert errors((80, 400), (1, 3)).verdict is not VerdictValue.PASS
    assert errors((80, 400), (100, 300)).verdict is VerdictValue.PASS


def test_an_error_of_the_evidence_is_an_error_with_its_sentence() -> None:
    problem = Problem(reason="MetricsUnreachable", message="Prometheus does not answer")
    for verdict in judge(policy=POLICY, evidence=Evidence(start=START, end=END, error=problem)):
        assert (verdict.verdict, verdict.message) == (VerdictValue.ERROR, "Prometheus does not answer")


@pytest.mark.parametrize("bad", [(-1, 5), (6, 5), (float("nan"), 5), (1, float("nan")), (1, float("inf"))])
def test_counts_that_make_no_sense_are_an_error(bad: tuple[float, float]) -> None:
    verdict = errors(bad, (1, 100))
    assert verdict.verdict is VerdictValue.ERROR
    assert "the candidate's counts make no sense" in verdict.message
    assert "stable's counts make no sense" in errors((1, 100), bad).message


counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
RANK = {VerdictValue.PASS: 0, VerdictValue.INCONCLUSIVE: 1, VerdictValue.FAIL: 2}


@given(candidate=counts, stable=counts, increase=st.floats(0, 0.5))
def test_one_more_failure_never_makes_the_verdict_better(
    candidate: tuple[int, int], stable: tuple[int, int], increase: float
) -> None:
    policy = replace(POLICY, error_rate=ErrorRate(max_increase=increase))
    failures, requests = candidate
    better = errors((max(0, failures - 1), requests), stable, policy)
    worse = errors((failures, requests), stable, policy)
    assert RANK[better.verdict] <= RANK[worse.verdict]


@given(arm=counts, increase=st.floats(0, 0.5), minimum=st.integers(1, 10_000))
def test_identical_arms_never_fail(arm: tuple[int, int], increase: float, minimum: int) -> None:
    policy = Analysis(min_requests=minimum, error_rate=ErrorRate(max_increase=increase))
    verdict = errors(arm, arm, policy).verdict
    assert verdict is (VerdictValue.PASS if arm[1] >= minimum else VerdictValue.INCONCLUSIVE)


@given(candidate=counts, stable=counts)
def test_a_better_candidate_never_fails(candidate: tuple[int, int], stable: tuple[int, int]) -> None:
    if candidate[0] * stable[1] <= stable[0] * candidate[1]:
        assert errors(candidate, stable).verdict is not VerdictValue.FAIL


@given(stable=counts, requests=st.integers(0, 49), failures=st.integers(0, 9))
def test_below_the_minimum_nothing_passes_and_few_failures_fail_nobody(
    stable: tuple[int, int], requests: int, failures: int
) -> None:
    assert errors((min(failures, requests), requests), stable).verdict is VerdictValue.INCONCLUSIVE
