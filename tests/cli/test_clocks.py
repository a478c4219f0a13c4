"""What is due next, and how a watched release ended."""

from __future__ import annotations

import pytest
from modelrelease.cli.clocks import upcoming
from modelrelease.cli.release import Release, ended
from modelrelease.domain.codec import format_time
from modelrelease.domain.status import Outcome

from tests.api.status_sample import STATUS
from tests.cli import releases
from tests.cli.releases import NOW, in_stage, release


def due(shown: Release) -> list[tuple[str, str]]:
    return [(format_time(item.at), item.what) for item in upcoming(shown, NOW)]


def test_a_step_brings_a_check_and_its_deadline() -> None:
    assert due(in_stage("Step")) == [
        ("2026-11-22T12:03:30Z", "next analysis"),
        ("2026-11-22T13:00:00Z", "without a verdict: Hold"),
        ("2026-11-22T14:00:00Z", "without progress: Rollback"),
    ]


def test_a_young_step_has_its_least_time_ahead() -> None:
    young = in_stage("Step", stepStartedAt="2026-11-22T12:03:00Z")
    assert ("2026-11-22T12:06:00Z", "the least time ends") in due(young)


def test_a_shadow_ends() -> None:
    shown = in_stage("Shadow", step=None, stepStartedAt="2026-11-22T12:00:00Z")
    assert ("2026-11-22T12:10:00Z", "the shadow ends") in due(shown)


def test_a_pause_ends_when_the_step_is_old_enough() -> None:
    assert ("2026-11-22T12:10:00Z", "the pause ends") in due(in_stage("Step", step=0))


def test_a_wait_that_does_not_count_has_no_deadline() -> None:
    assert "without progress: Rollback" not in [what for _, what in due(release())]


def test_a_bake_ends() -> None:
    shown = in_stage("Bake", step=3, bakeStartedAt="2026-11-22T12:00:00Z")
    assert ("2026-11-22T14:00:00Z", "the bake ends") in due(shown)


def test_before_the_gateway_accepts_there_is_no_check() -> None:
    assert due(in_stage("Step", stepStartedAt=None)) == [("2026-11-22T14:00:00Z", "without progress: Rollback")]


def test_a_retreat_waits_for_no_clock() -> None:
    assert due(in_stage("Retreat")) == []


def test_old_servers_end() -> None:
    shown = release({"retired": [{"revision": "1111111111", "at": "2026-11-22T12:03:00Z"}]}, status__waitingFor=None)
    assert ("2026-11-22T12:04:00Z", "servers of 1111111111 end") in due(shown)


@pytest.mark.parametrize(
    ("shown", "outcome"),
    [
        (release(), None),
        (releases.unseen(), None),
        (releases.suspended(), None),
        (releases.at_rest(), Outcome.PROMOTED),
        (releases.rolled_back(), Outcome.ROLLED_BACK),
        (release({**releases.STABLE_ONLY}, generation=8), None),
        (release({**releases.STABLE_ONLY, "rejected": STATUS["rejected"]}), Outcome.FAILED),
        (release({**releases.STABLE_ONLY, "stable": None}), None),
    ],
    ids=["under-way", "unseen", "suspended", "rest", "rolled-back", "edited", "failed-without-history", "nothing-yet"],
)
def test_how_it_ended(shown: Release, outcome: Outcome | None) -> None:
    assert ended(shown) is outcome
