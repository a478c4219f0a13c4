"""Increases of counters: exact whatever the scrapes saw."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.adapters.prometheus.client import MetricsError, Series
from modelrelease.adapters.prometheus.counters import check_unique, count, scrapes

Samples = tuple[tuple[float, float], ...]


def series(samples: Samples, name: str = "requests", **labels: str) -> Series:
    return Series(labels={"__name__": name, "namespace": "gateways", "pod": "a", **labels}, samples=samples)


def increase(samples: Samples, *, since: float, others: tuple[Series, ...] = ()) -> float:
    mine = series(samples)
    return sum(one.increase for one in count([mine], since=since, scraped=scrapes([mine, *others])))


@pytest.mark.parametrize(
    ("samples", "since", "expected"),
    [
        (((0, 10), (15, 12), (30, 17)), 0, 7),
        (((0, 10), (15, 12), (30, 17)), 1, 5),  # what came before the first scrape of the window is not counted
        (((0, 10), (15, 3), (30, 4)), 0, 4),  # a reset: 3 since then, and one more
        (((0, 10), (15, 0), (30, 0)), 0, 0),
        (((0, 10), (15, 12)), 16, 0),  # nothing in the window
        (((0, 10),), 0, 0),
        ((), 0, 0),
    ],
)
def test_increase(samples: Samples, since: float, expected: float) -> None:
    assert increase(samples, since=since) == expected


def test_a_counter_that_appears_after_another_of_the_same_process_started_at_zero() -> None:
    other = series(((0, 100), (15, 130), (30, 160)), name="other")
    assert increase(((15, 8), (30, 9)), since=0, others=(other,)) == 9


def test_a_counter_of_a_process_first_seen_in_the_window_counts_from_there() -> None:
    other = series(((0, 100), (30, 160)), name="other", pod="b")
    assert increase(((15, 8), (30, 9)), since=0, others=(other,)) == 1


@given(
    added=st.lists(st.integers(0, 50), min_size=1, max_size=30),
    resets=st.sets(st.integers(1, 30)),
    since=st.integers(0, 30),
)
def test_with_resets_right_after_a_scrape_no_request_is_lost(added: list[int], resets: set[int], since: int) -> None:
    value, samples = 0, []
    for i, number in enumerate(added):
        # A reset that the counter outgrows before the next scrape can't be seen; this one can.
        value = number if i in resets and number < value else value + number
        samples.append((float(i), float(value)))
    assert increase(tuple(samples), since=since) == sum(added[since + 1 :])


def test_one_pod_under_two_jobs_is_an_error_and_one_that_was_replaced_is_not() -> None:
    first = series(((0, 1), (15, 2)), instance="10.0.0.1:19001")
    check_unique([first, series(((30, 1), (45, 2)), instance="10.0.0.2:19001")])
    check_unique([first, series(((0, 1), (15, 2)), pod="b")])
    check_unique([first, series(((0, 1), (15, 2)), name="other")])
    with pytest.raises(MetricsError, match=r'instance="10.0.0.1:19001" and "10.0.0.3:19001"'):
        check_unique([first, series(((15, 1), (45, 2)), instance="10.0.0.3:19001")])


def test_without_pod_names_the_address_tells_pods_apart() -> None:
    def of(instance: str, job: str) -> Series:
        return Series(labels={"__name__": "requests", "instance": instance, "job": job}, samples=((0, 1),))

    check_unique([of("a:1", "x"), of("b:1", "x")])
    with pytest.raises(MetricsError, match="scrape each gateway pod by one job only"):
        check_unique([of("a:1", "x"), of("a:1", "y")])
