"""When a candidate can take no more copies: what is under way, and what was dropped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.presets.envoy import LAYOUT
from modelrelease.adapters.prometheus.presets.envoy_gateway import PRESET
from modelrelease.adapters.prometheus.presets.saturation import (
    ACTIVE,
    DROPPED,
    MOST_COPIES,
    MOST_TIMES,
    RECENT_SECONDS,
    SCRAPES,
)
from modelrelease.adapters.prometheus.sampled import sampled
from modelrelease.domain.observed import Meta, Protocol, Slot

META = Meta(name="digits", namespace="vision", uid="u", generation=1, resource_version="1")
STABLE, CANDIDATE, MIRROR = "/backend/0", "/backend/1", "-mirror-0"
START = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
EVERY = 15.0


def series(
    place: str,
    values: Sequence[float | None],
    *,
    name: str = ACTIVE,
    pod: str = "envoy-a",
    protocol: str = "http",
    labels: dict[str, str] | None = None,
) -> Series:
    """Return a series with one value at each scrape; None where it has none."""
    cluster = f"{protocol}route/vision/digits/rule/0{place}"
    own = {"__name__": name, "envoy_cluster_name": cluster, "pod": pod, "namespace": "g", "job": "j", "instance": pod}
    samples = tuple((START + place * EVERY, value) for place, value in enumerate(values) if value is not None)
    return Series(labels={**own, **(labels or {})}, samples=samples)


def told(*found: Series, mirror: Slot | None = Slot.PREVIEW) -> str:
    question = PRESET.question(meta=META, protocols=(Protocol.HTTP, Protocol.GRPC), mirror=mirror)
    return question.saturated(sampled(found, layout=LAYOUT))


def test_copies_that_pile_up_where_clients_are_answered_are_saturation() -> None:
    said = told(series(STABLE, [3, 4, 3, 2]), series(CANDIDATE, [0, 0, 0, 1]), series(MIRROR, [5, 60, 200, 400]))
    assert said == "the candidate has 400 copies under way, where the clients' own requests are 3"


@given(
    copies=st.lists(st.integers(0, 2000), min_size=SCRAPES, max_size=6),
    clients=st.integers(0, 200),
)
def test_it_takes_many_copies_in_all_of_the_last_scrapes(copies: list[int], clients: int) -> None:
    said = told(series(STABLE, [clients] * len(copies)), series(MIRROR, copies))
    full = all(number >= max(MOST_COPIES, MOST_TIMES * clients) for number in copies[-SCRAPES:])
    assert bool(said) == full


def test_a_service_that_is_busy_itself_is_not_the_candidates_fault() -> None:
    assert told(series(STABLE, [300] * 3), series(MIRROR, [900] * 3)) == ""


def test_the_gateways_pods_and_protocols_are_added_up() -> None:
    parts = [series(MIRROR, [20] * 3, pod=pod, protocol=kind) for pod in ("a", "b") for kind in ("http", "grpc")]
    assert "80 copies" in told(series(STABLE, [1] * 3, pod="a"), *parts)


def test_too_few_scrapes_tell_nothing() -> None:
    assert told(series(STABLE, [1] * 2), series(MIRROR, [999] * 2)) == ""
    assert told(series(STABLE, [1] * 3), series(MIRROR, [None, 999, 999])) == "", "the mirror is on since the second"


def test_copies_to_the_control_of_a_bake_stop_nothing() -> None:
    found = (series(STABLE, [1] * 3), series(MIRROR, [999] * 3))
    assert told(*found, mirror=Slot.STABLE) == told(*found, mirror=None) == ""


def dropped(*values: float | None) -> Series:
    return series(MIRROR, values, name=DROPPED)


def test_a_dropped_copy_is_saturation_at_once() -> None:
    said = told(dropped(0, 0, 7), series(MIRROR, [1024] * 3))
    assert said == "the gateway had to drop 7 copies, for the candidate does not answer as fast as they come"


def test_what_was_dropped_before_or_elsewhere_is_not() -> None:
    long_ago = int(RECENT_SECONDS / EVERY) + 1
    assert told(dropped(0, 9, *[9] * long_ago)) == ""
    assert told(dropped(9, 9, 9)) == "", "counted before anybody looked"
    assert told(series(STABLE, [0, 0, 7], name=DROPPED)) == ""


@pytest.mark.parametrize("found", [[], [series(MIRROR, [])]])
def test_nothing_is_no_saturation(found: list[Series]) -> None:
    assert told(*found) == ""
