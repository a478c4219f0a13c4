"""The API's JSON and the typed objects: there and back, and refusals that name the field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.domain import codec
from modelrelease.domain.codec import Malformed
from modelrelease.domain.policy import Pause, Rollout, Step
from modelrelease.domain.status import Retired, Status, WaitingFor

MOMENT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@given(st.integers(min_value=0, max_value=10**10))
def test_a_duration_survives_its_own_format(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert codec.parse_duration(codec.format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize("text", ["", "5", "1.5h", "-3s", "h", "10 s", "5d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        codec.parse_duration(text)


def test_a_rollout_comes_back_as_it_went() -> None:
    rollout = Rollout(steps=(Step(weight=3, pause=Pause(duration=5400)), Step(weight=9)), scale_down_delay=0)
    assert codec.decode(Rollout, codec.encode(rollout)) == rollout


def test_a_status_comes_back_as_it_went() -> None:
    status = Status(
        retired=(Retired(revision="a", at=MOMENT + timedelta(milliseconds=250)),),
        waiting_for=WaitingFor(reason="Pause", what="the pause", since=MOMENT, who="the clock", counts=False),
    )
    assert codec.decode(Status, codec.encode(status)) == status


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("text", "expected an object"),
        ({"retired": {}}, "retired: expected a list"),
        ({"retired": [{"revision": "a"}]}, r"retired\[0\].at: is required"),
        ({"retired": [{"revision": "a", "at": 5}]}, r"retired\[0\].at: expected str, got 5"),
        ({"retired": [{"revision": "a", "at": "noon"}]}, r"retired\[0\].at"),
        ({"observedGeneration": "7"}, "observedGeneration: expected int, got '7'"),
        ({"observedGeneration": True}, "observedGeneration: expected int, got True"),
        ({"history": [{"outcome": "Lost"}]}, "history"),
    ],
)
def test_a_wrong_shape_is_told_by_its_field(value: Any, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        codec.decode(Status, value)
