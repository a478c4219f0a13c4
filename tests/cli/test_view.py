"""The picture: what it says in each situation, read as text."""

from __future__ import annotations

from datetime import timedelta

import pytest
from modelrelease.cli.ladder import weights
from modelrelease.cli.release import Release
from modelrelease.cli.view import picture, since
from rich.console import Console

from tests.api.status_sample import STATUS
from tests.cli import releases
from tests.cli.releases import NOW, in_stage, release


def lines(shown: Release, *, width: int = 110, notice: str = "") -> list[str]:
    console = Console(width=width, color_system=None, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(picture(shown, NOW, notice=notice))
    return capture.get().splitlines()


def line(shown: Release, label: str) -> str:
    """The line that starts with a label."""
    (found,) = [text for text in lines(shown) if text.startswith(f"│ {label} ")]
    return " ".join(found.strip("│ ").split())


def test_a_step_shows_where_it_is_on_the_ladder() -> None:
    steps = "steps ✔ build ─ ✔ deploy ─ ✔ 5% (10m) ─ ✔ 10% ─ ▶ 25% ─ 50% (approval) ─ 100% bake"
    assert line(release(), "steps") == steps


@pytest.mark.parametrize(
    ("stage", "here"), [("Build", "▶ build"), ("Deploy", "✔ build ─ ▶ deploy"), ("Bake", "(approval) ─ ▶ 100% bake")]
)
def test_the_other_stages_show_on_the_ladder_too(stage: str, here: str) -> None:
    shown = line(in_stage(stage, step=3 if stage == "Bake" else None), "steps")
    assert here in shown
    assert shown.count("▶") == 1


def test_a_ladder_replanned_in_mid_rollout_is_shown_as_planned() -> None:
    assert "✔ 7% ─ ▶ 8% ─ 25%" in line(in_stage("Step", ladder=[7, 8, 25], step=1), "steps")


def test_the_three_weights_are_told_apart() -> None:
    shown = in_stage("Step", weight={"desired": 50, "accepted": 25, "observed": 24.8})
    assert line(shown, "desired").endswith("50 %")
    assert line(shown, "accepted").endswith("25 %")
    assert line(shown, "observed").endswith("24.8 %")
    assert line(shown, "desired").count("━") == 2 * line(shown, "accepted").count("━")


def test_a_weight_that_differs_from_the_wanted_one_stands_out() -> None:
    shown = in_stage("Step", weight={"desired": 50, "accepted": 25, "observed": 51.5})
    styles = {name: {str(span.style) for span in bar.spans} for name, bar in weights(shown)}
    assert "yellow" in styles["accepted"]
    assert "yellow" not in styles["desired"] | styles["observed"]


def test_a_weight_that_was_not_measured_says_so() -> None:
    shown = in_stage("Step", weight={"desired": 50, "accepted": 50})
    assert line(shown, "observed").endswith("not measured yet")


def test_evidence_has_numbers_and_tells_why_it_does_not_pass() -> None:
    shown = "\n".join(lines(release()))
    assert "http error ratio  Pass              0.11%   0.10%  1.10%   41,210" in shown
    assert "http latency p95  Inconclusive         12      11   16.5       30" in shown
    assert "Inconclusive: p95 12 ms against 11 ms of stable: 30 of 50 requests" in shown
    assert "judged 3m20s ago" in shown


def test_a_wait_says_who_and_with_which_command() -> None:
    assert line(release(), "waits for") == "waits for approval of step 3 since 3m20s, on a person"
    assert any("modelrelease approve digits -n vision" in text for text in lines(release()))


def test_a_rollback_tells_the_metric_and_how_to_retry() -> None:
    shown = "\n".join(lines(releases.rolled_back()))
    assert "RolledBack" in lines(releases.rolled_back())[0]
    assert "Stalled=True error ratio 4.1 % against 0.1 % of stable on 5012 requests" in shown
    assert "modelrelease retry digits -n vision" in shown
    assert "2026.11.2  RolledBack" in shown
    assert "205   12m  3m20s" in shown


def test_a_retreat_tells_why() -> None:
    shown = in_stage("Retreat", end=STATUS["candidate"]["end"])
    assert line(shown, "steps") == "steps traffic goes back to stable: error ratio 4 % against 0.1 %"


def test_rest_shows_no_ladder() -> None:
    shown = "\n".join(lines(releases.at_rest()))
    assert "version 2026.11.0 serves" in shown
    assert "steps" not in shown.replace("all steps passed", "")
    assert "desired" not in shown


def test_a_release_that_no_operator_saw_asks_for_it() -> None:
    assert "is the operator running?" in line(releases.unseen(), "now")


def test_a_status_behind_the_spec_says_so() -> None:
    text = " ".join(" ".join(lines(release(generation=8))).replace("│", " ").split())
    assert "(of the spec before the last edit)" in text


def test_a_pause_names_the_way_on() -> None:
    assert any("modelrelease resume digits -n vision" in text for text in lines(releases.suspended()))


def test_a_notice_about_the_connection_is_shown() -> None:
    assert any(
        "does not answer; trying again" in text for text in lines(release(), notice="x does not answer; trying again")
    )


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_is_cut_off(width: int) -> None:
    shown = lines(releases.rolled_back(), width=width)
    assert all(len(text) == width for text in shown)
    assert "…" not in "\n".join(shown)


def test_markup_in_a_message_is_text() -> None:
    shown = release({"message": "quota [red]exceeded[/red] in [vision]"})
    assert "quota [red]exceeded[/red] in [vision]" in line(shown, "now")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (200, "3m20s"), (3700, "1h1m"), (183600, "2d3h"), (-5, "0s")]
)
def test_ages_are_short(seconds: int, text: str) -> None:
    assert since(NOW - timedelta(seconds=seconds), NOW) == text
