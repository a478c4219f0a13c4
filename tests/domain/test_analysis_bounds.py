"""The exact bounds against exact arithmetic."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.domain.analysis import bounds


def tail(k: int, n: int, p: float) -> float:
    """P(X >= k), in rationals."""
    exact = Fraction(p)
    return float(sum(math.comb(n, i) * exact**i * (1 - exact) ** (n - i) for i in range(k, n + 1)))


@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 20), (3, 40), (20, 20), (17, 412), (199, 200), (60, 120)])
@pytest.mark.parametrize("confidence", [0.9, 0.99, 0.995])
def test_the_tail_at_the_lower_bound_is_what_the_confidence_leaves(k: int, n: int, confidence: float) -> None:
    found = bounds.lower(hits=k, trials=n, confidence=confidence)
    assert tail(k, n, found) == pytest.approx(1 - confidence, rel=1e-6)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 300), (3, 40), (19, 20)])
def test_the_other_tail_at_the_upper_bound_is_what_the_confidence_leaves(k: int, n: int) -> None:
    found = bounds.upper(hits=k, trials=n, confidence=0.99)
    assert 1 - tail(k + 1, n, found) == pytest.approx(0.01, rel=1e-6)


def test_no_hits_have_no_lower_bound_and_no_trials_no_upper() -> None:
    assert bounds.lower(hits=0, trials=1000, confidence=0.99) == 0.0
    assert bounds.upper(hits=0, trials=0, confidence=0.99) == 1.0
    assert bounds.upper(hits=7, trials=7, confidence=0.99) == 1.0


def test_counts_that_are_not_whole_are_rounded_to_the_safe_side() -> None:
    whole = bounds.lower(hits=5, trials=11, confidence=0.99)
    assert bounds.lower(hits=5.9, trials=10.1, confidence=0.99) == whole
    assert bounds.upper(hits=4.1, trials=10.9, confidence=0.99) == bounds.upper(hits=5, trials=10, confidence=0.99)


@given(
    n=st.integers(1, 3000),
    data=st.data(),
    confidence=st.sampled_from([0.9, 0.99, 0.995]),
)
def test_bounds_enclose_the_estimate_and_rise_with_the_hits(n: int, data: st.DataObject, confidence: float) -> None:
    k = data.draw(st.integers(0, n - 1))
    low, next_low = (bounds.lower(hits=h, trials=n, confidence=confidence) for h in (k, k + 1))
    high, next_high = (bounds.upper(hits=h, trials=n, confidence=confidence) for h in (k, k + 1))
    assert 0.0 <= low <= k / n <= high <= 1.0
    assert low < next_low
    assert high <= next_high


def test_a_huge_number_of_trials_takes_no_time_and_keeps_the_ratio_between_the_bounds() -> None:
    started = time.perf_counter()
    low = bounds.lower(hits=2e14, trials=1e15, confidence=0.995)
    high = bounds.upper(hits=2e14, trials=1e15, confidence=0.995)
    assert time.perf_counter() - started < 2
    assert 0.198 < low < 0.2 < high < 0.202
