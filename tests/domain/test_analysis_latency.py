"""Verdicts on latency, and what holds for all verdicts together."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.domain.analysis import judge, overall
from modelrelease.domain.observed import Arm, Evidence
from modelrelease.domain.spec import Analysis, Latency
from modelrelease.domain.status import Verdict, VerdictValue

START, END = datetime(2026, 11, 22, 12, 0, tzinfo=UTC), datetime(2026, 11, 22, 12, 5, tzinfo=UTC)
BOUNDS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
POLICY = Analysis(min_requests=50, latency=Latency(quantile=0.95, max_ratio=1.5))


def arm(*counts: float) -> Arm:
    """An arm from the number of requests in each bucket, the last one above all bounds."""
    padded = [*counts, *[0.0] * (len(BOUNDS) + 1 - len(counts))]
    bounds = (*BOUNDS, math.inf)
    return Arm(requests=sum(padded), latency=tuple((b, sum(padded[: i + 1])) for i, b in enumerate(bounds)))


def latency(candidate: Arm, stable: Arm, policy: Analysis = POLICY) -> Verdict:
    evidence = Evidence(start=START, end=END, candidate=candidate, stable=stable, latency_query="the query")
    (verdict,) = (v for v in judge(policy=policy, evidence=evidence) if v.metric.startswith("latency"))
    return verdict


STABLE = arm(0, 900, 80, 20)  # 95 % within 10 ms: allowed is up to the bucket of 15 ms, 25 ms


def test_a_slow_candidate_fails_and_the_sentence_has_all_the_numbers() -> None:
    verdict = latency(arm(0, 100, 200, 40, 60), STABLE)
    assert verdict.verdict is VerdictValue.FAIL
    assert verdict.message == (
        "95 % of requests took at most 50 ms against at most 10 ms of stable "
        "(allowed: at most 25 ms, the bucket of 1.5 times stable's) from 400 requests; 60 took longer"
    )
    assert (verdict.metric, verdict.estimate, verdict.baseline, verdict.threshold) == ("latency-p95", 50, 10, 25)
    assert (verdict.samples, verdict.query) == (400, "the query")


def test_a_candidate_within_the_bucket_of_what_is_allowed_passes() -> None:
    verdict = latency(arm(0, 100, 200, 90, 10), STABLE)
    assert (verdict.verdict, verdict.estimate) == (VerdictValue.PASS, 25)


def test_slower_than_allowed_by_chance_is_inconclusive() -> None:
    verdict = latency(arm(0, 50, 40, 4, 6), STABLE)
    assert verdict.verdict is VerdictValue.INCONCLUSIVE
    assert verdict.message.endswith("slower than allowed, but not yet proven by so few requests")


def test_too_few_requests_are_inconclusive_unless_all_are_slow() -> None:
    assert latency(arm(0, 49), STABLE).verdict is VerdictValue.INCONCLUSIVE
    assert latency(arm(0, 0, 0, 0, 0, 9), STABLE).verdict is VerdictValue.INCONCLUSIVE
    assert latency(arm(0, 0, 0, 0, 0, 20), STABLE).verdict is VerdictValue.FAIL


def test_slower_than_every_bound_fails_without_an_estimate() -> None:
    verdict = latency(arm(0, 0, 0, 0, 0, 0, 0, 0, 0, 100), STABLE)
    assert (verdict.verdict, verdict.estimate) == (VerdictValue.FAIL, None)
    assert "took more than 1000 ms" in verdict.message


def test_a_histogram_that_ends_too_low_is_inconclusive_and_says_so() -> None:
    verdict = latency(arm(0, 0, 0, 0, 0, 0, 0, 0, 0, 100), arm(0, 0, 0, 0, 0, 0, 0, 0, 100))
    assert verdict.verdict is VerdictValue.INCONCLUSIVE
    assert "highest bound of the histogram (1000 ms)" in verdict.message


def test_no_requests_on_one_side_are_inconclusive() -> None:
    assert latency(Arm(), STABLE).verdict is VerdictValue.INCONCLUSIVE
    assert latency(STABLE, Arm()).verdict is VerdictValue.INCONCLUSIVE


def test_histograms_without_a_bound_in_common_are_inconclusive() -> None:
    other = Arm(requests=100, latency=((7.0, 100.0), (math.inf, 100.0)))
    assert "none that both versions share" in latency(other, STABLE).message


def test_few_fast_stable_requests_prove_no_slow_candidate() -> None:
    # Stable's 20 requests were within 10 ms, but so few do not say what its 95th percentile is.
    assert latency(arm(0, 300, 0, 0, 100), arm(0, 10, 10)).verdict is VerdictValue.INCONCLUSIVE


def test_one_slow_stable_request_of_three_excuses_no_slow_candidate() -> None:
    slow = arm(0, 100, 0, 0, 0, 0, 0, 100)
    assert latency(slow, arm(0, 2, 0, 0, 0, 0, 0, 1)).verdict is not VerdictValue.PASS


def test_a_ratio_that_ends_on_a_bound_is_not_rounded_up_to_the_next() -> None:
    policy = replace(POLICY, latency=Latency(quantile=0.99, max_ratio=2.5))
    verdict = latency(arm(0, 0, 1000), arm(0, 0, 1000), policy)
    assert (verdict.metric, verdict.threshold) == ("latency-p99", 25)


@pytest.mark.parametrize("buckets", [((1.0, math.nan),), ((math.nan, 1.0),), ((1.0, -1.0),), ((1.0, math.inf),)])
def test_a_histogram_that_makes_no_sense_is_an_error(buckets: tuple[tuple[float, float], ...]) -> None:
    bad = Arm(requests=1, latency=buckets)
    assert latency(bad, STABLE).verdict is VerdictValue.ERROR
    assert "of stable" in latency(STABLE, bad).message


arms = st.lists(st.integers(0, 400), min_size=1, max_size=10).map(lambda counts: arm(*counts))
RANK = {VerdictValue.PASS: 0, VerdictValue.INCONCLUSIVE: 1, VerdictValue.FAIL: 2}


@given(same=arms, quantile=st.sampled_from([0.5, 0.9, 0.95, 0.99]), ratio=st.floats(1, 10))
def test_identical_arms_never_fail(same: Arm, quantile: float, ratio: float) -> None:
    policy = replace(POLICY, latency=Latency(quantile=quantile, max_ratio=ratio))
    assert latency(same, same, policy).verdict is not VerdictValue.FAIL


@given(counts=st.lists(st.integers(0, 300), min_size=10, max_size=10), stable=arms, place=st.integers(0, 8))
def test_a_slower_request_never_makes_the_verdict_better(counts: list[int], stable: Arm, place: int) -> None:
    if not counts[place]:
        return
    slower = list(counts)
    slower[place] -= 1
    slower[place + 1] += 1
    assert RANK[latency(arm(*counts), stable).verdict] <= RANK[latency(arm(*slower), stable).verdict]


anything = st.floats() | st.integers(-5, 10**18).map(float)
wild_arms = st.builds(
    Arm, requests=anything, failures=anything, latency=st.lists(st.tuples(anything, anything), max_size=8).map(tuple)
)


@given(candidate=wild_arms, stable=wild_arms)
def test_whatever_the_counts_verdicts_are_finite_sentences(candidate: Arm, stable: Arm) -> None:
    for verdict in judge(policy=POLICY, evidence=Evidence(start=START, end=END, candidate=candidate, stable=stable)):
        numbers = [verdict.estimate, verdict.baseline, verdict.threshold]
        assert all(number is None or math.isfinite(number) for number in numbers)
        assert verdict.message
        assert verdict.samples >= 0
        if verdict.verdict in (VerdictValue.PASS, VerdictValue.FAIL):
            assert "nan" not in verdict.message
            assert "inf" not in verdict.message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("Pass Pass", "Pass"),
        ("Pass Inconclusive", "Inconclusive"),
        ("Inconclusive Error Pass", "Error"),
        ("Error Fail Inconclusive", "Fail"),
        ("", "Inconclusive"),
    ],
)
def test_the_worst_verdict_decides_and_none_passes_nothing(values: str, expected: str) -> None:
    verdicts = [Verdict(metric=str(i), verdict=VerdictValue(v), message="") for i, v in enumerate(values.split())]
    assert overall(verdicts) == expected
