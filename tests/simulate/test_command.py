"""`modelrelease simulate` and `modelrelease plan` as they are typed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from modelrelease.cli.main import main
from modelrelease.simulate.traffic import increments

from tests.simulate.releases import BAD

pytestmark = pytest.mark.deep

SAMPLE = str(Path(__file__).parents[2] / "manifests" / "samples" / "digits-minimal.yaml")
SCENARIO = "requestsPerSecond: 200\nduration: 10m\nhistory: 30m\nfault: {size: 0.05}\n"


@pytest.fixture
def traffic(tmp_path: Path) -> str:
    """Give a table of bad traffic."""
    drawn, file = increments(BAD, seed=1), tmp_path / "traffic.csv"
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["t", "arm", "requests", "failures"])
    for arm in ("stable", "candidate"):
        counts = getattr(drawn, arm)
        for t, requests, failures in zip(drawn.times, counts.requests[:, 0, 0], counts.failures[:, 0, 0], strict=True):
            rows.writerow([f"{t:g}", arm, requests, failures])
    file.write_text(text.getvalue())
    return str(file)


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_json_of_a_run_has_what_programs_need(traffic: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("simulate", "--spec", SAMPLE, "--traffic", traffic, "--seed", "1")
    found = answer(capsys, *words)
    assert (found["outcome"], found["metric"]) == ("rolledBack", "error-ratio")
    assert found["weights"][-1] == [found["decidedAt"], 0]
    assert found["promotedAt"] is None
    assert 0 < found["badRequestsServed"] < found["candidateRequests"]
    failed = [verdict for verdict in found["verdicts"] if verdict["verdict"] == "Fail"]
    assert [(verdict["metric"], verdict["t"]) for verdict in failed] == [("error-ratio", found["decidedAt"])]
    assert answer(capsys, *words) == found


def test_people_get_a_timeline_and_the_reason(traffic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--spec", SAMPLE, "--traffic", traffic]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "rolled back: after" in said
    assert "requests failed against" in said
    assert "of them badly" in said


def test_many_runs_have_shares_with_exact_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = written(tmp_path, "scenario.yaml", SCENARIO)
    words = ("simulate", "--spec", SAMPLE, "--scenario", scenario, "--replications", "3", "--seed", "2")
    found = answer(capsys, *words)
    assert found["outcomes"]["rolledBack"] == {"runs": 3, "share": 1.0, "interval": [0.292402, 1.0]}
    assert [run["outcome"] for run in found["runs"]] == ["rolledBack"] * 3
    assert main(list(words)) == 0
    assert "29.2% to 100.0%" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_run_is_drawn(suffix: str, tmp_path: Path, traffic: str, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / f"run.{suffix}"
    found = answer(capsys, "simulate", "--spec", SAMPLE, "--traffic", traffic, "--plot", str(picture))
    assert picture.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")
    assert {verdict["t"] for verdict in found["verdicts"]} == {found["decidedAt"]}, "the looks between do not show"


def test_steps_may_say_that_they_are_planned(tmp_path: Path, traffic: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(SAMPLE).read_text()
    planned = written(tmp_path, "auto.yaml", f"{text.rstrip()}\n  rollout:\n    steps: auto\n")
    own = written(tmp_path, "own.yaml", f"{text.rstrip()}\n  rollout:\n    steps: [{{weight: 7}}]\n")
    first = [
        answer(capsys, "simulate", "--spec", spec, "--traffic", traffic)["weights"][0][1] for spec in (planned, own)
    ]
    assert first == [1, 7]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--traffic", "nowhere.csv"), "nowhere.csv can not be read"),
        (("--scenario", "scenario.yaml", "--replications", "0"), "--replications is 0: allowed are 1 and more"),
        (("--scenario", "scenario.yaml", "--seed", "-1"), "--seed is -1"),
        (("--scenario", "scenario.yaml", "--plot", "run.pdf"), "--plot is run.pdf: allowed are files that end in .png"),
        (("--scenario", "scenario.yaml", "--plot", "a.png", "--replications", "2"), "leave one of them out"),
        (("--scenario", "scenario.yaml", "--plot", "no/a.png"), "the folder no is not there"),
        (("--scenario", "typo.yaml"), "scenario.faults: no such field; did you mean fault?"),
        (("--scenario", "bad.yaml"), "bad.yaml: errorRatio is 2: allowed are 0 to 1"),
        (("--scenario", "two.yaml"), "holds 2 YAML documents"),
        (("--traffic", "bad.csv"), "bad.csv: line 2, column failures: '4' is more than the 3 requests"),
    ],
)
def test_what_can_not_be_simulated_is_said_in_one_sentence(
    words: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "scenario.yaml", SCENARIO)
    written(tmp_path, "typo.yaml", "faults: {size: 0.05}\n")
    written(tmp_path, "bad.yaml", "errorRatio: 2\n")
    written(tmp_path, "two.yaml", "errorRatio: 0\n---\nerrorRatio: 1\n")
    written(tmp_path, "bad.csv", "t,arm,requests,failures\n15,stable,3,4\n")
    assert main(["simulate", "--spec", SAMPLE, *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Pod\n", "holds 0 ModelReleases"),
        ("{", "is not YAML"),
        ("kind: ModelRelease\nspec: {}\n", "apiVersion"),
    ],
)
def test_a_spec_that_the_api_would_refuse_is_refused(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, scenario = written(tmp_path, "spec.yaml", text), written(tmp_path, "scenario.yaml", SCENARIO)
    assert main(["simulate", "--spec", spec, "--scenario", scenario]) == 2
    assert says in capsys.readouterr().err


def test_a_plan_is_told_with_what_would_change_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("plan", "-f", SAMPLE, "--requests-per-second", "50", "--error-ratio", "0.01")
    found = answer(capsys, *words)
    assert found["weights"] == [5, 25]
    assert found["totalMinutes"] == pytest.approx(sum(found["minutes"]))
    half, twice, larger, shadow = (other["totalMinutes"] for other in found["alternatives"])
    assert half > found["totalMinutes"] > max(twice, larger, shadow)
    assert main(list(words)) == 0
    assert "to all the traffic" in capsys.readouterr().out


def test_a_plan_warns_of_what_takes_longer_than_it_may(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", SAMPLE, "--requests-per-second", "1", "--error-ratio", "0.01"]) == 0
    assert "stepDeadline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "the traffic is not known"),
        (("--requests-per-second", "0"), "--requests-per-second is 0"),
        (("--requests-per-second", "5", "--error-ratio", "2"), "--error-ratio is 2"),
        (("--requests-per-second", "5", "--prometheus-url", "http://127.0.0.1:9"), "leave one out"),
        (("--prometheus-url", "http://127.0.0.1:9"), "can't be reached"),
    ],
)
def test_a_plan_without_traffic_is_refused(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "-f", SAMPLE, *words]) == 2
    assert says in capsys.readouterr().err
