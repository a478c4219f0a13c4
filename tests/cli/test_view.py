"""The picture: what it says in each situation, read as text."""

from __future__ import annotations

from dataclasses import replace
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


def words(shown: Release) -> str:
    """Everything on a wide screen, with one space between words."""
    return " ".join(" ".join(lines(shown, width=140)).split())


def line(shown: Release, label: str) -> str:
    """The line that starts with a label."""
    (found,) = [text for text in lines(shown) if text.startswith(f"│ {label} ")]
    return " ".join(found.strip("│ ").split())


def test_a_step_shows_where_it_is_on_the_ladder() -> None:
    steps = "steps ✔ build ─ ✔ deploy ─ ✔ shadow ─ ✔ 5% (10m) ─ ✔ 10% ─ ▶ 25% ─ 50% (approval) ─ 99% bake"
    assert line(release(), "steps") == steps


@pytest.mark.parametrize(
    ("stage", "here"),
    [
        ("Build", "▶ build"),
        ("Deploy", "✔ build ─ ▶ deploy"),
        ("Shadow", "✔ deploy ─ ▶ shadow ─ 5%"),
        ("Bake", "(approval) ─ ▶ 99% bake"),
    ],
)
def test_the_other_stages_show_on_the_ladder_too(stage: str, here: str) -> None:
    shown = line(in_stage(stage, step=None, weight={"desired": 99 if stage == "Bake" else 0}), "steps")
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
    shown = words(release())
    assert "error-ratio Pass 0.11% 0.10% 0.61% -1.20% to -0.80% 41.5 of 20 41,210" in shown
    assert "latency-250ms Inconclusive 1.20% 1.10% 2.15% -20.00% to 40.00% 0.8 of 20 30" in shown
    assert "Inconclusive: 1.20 % of requests took longer than 250 ms, 30 of at least 50" in shown
    assert "judged 3m20s ago" in shown


def test_a_failure_shows_the_evidence_against_it() -> None:
    failed = {**STATUS["candidate"]["verdicts"][0], "verdict": "Fail", "eValue": 3.2e9}
    assert "over 1e6 41,210" in words(in_stage("Retreat", verdicts=[failed]))


def test_values_and_counts_are_no_shares() -> None:
    count = {"metric": "bad-requests", "verdict": "Pass", "message": "m", "estimate": 12.0, "threshold": 100.0}
    value = {"metric": "queue", "verdict": "Pass", "message": "m", "estimate": 3.5, "threshold": 20.0}
    shown = words(in_stage("Step", verdicts=[count, value]))
    assert "bad-requests Pass 12 - 100" in shown
    assert "queue Pass 3.5 - 20" in shown


def test_the_shadow_and_the_control_of_the_bake_are_named() -> None:
    assert (
        line(in_stage("Step", mirrorStopped=None), "shadow") == "shadow copies of 75 % of the requests go to 2026.11.1"
    )
    assert "no copies any more: the candidate has 40 requests waiting" in line(in_stage("Step"), "shadow")
    baking = {"weight": {"desired": 99}, "bakeEndedAt": None, "mirrorStopped": None}
    assert line(in_stage("Bake", **baking), "control") == "control 1 % of the traffic stay on 2026.11.0"


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


def test_pods_of_stable_that_can_not_start_are_told_at_rest_too() -> None:
    shown = releases.at_rest()
    (well,) = [one for one in shown.status.conditions if one.type == "Ready"]
    message = "version 2026.11.0 serves with 1 of 2 pods: model.onnx was changed or damaged"
    conditions = (replace(well, status="True", reason="Degraded", message=message),)
    assert f"Degraded {message}" in words(replace(shown, status=replace(shown.status, conditions=conditions)))
    assert "Degraded" not in words(shown)


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
