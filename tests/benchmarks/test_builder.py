"""The measurements of the model builder: what counts as met, what is measured again, what a crash costs."""

import json
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from benchmarks.builder import faults, page, run
from benchmarks.builder.builds import Place
from benchmarks.builder.rows import ROWS, Promise, Row
from model_builder import passes
from model_builder.errors import GateFailed


@pytest.mark.parametrize(
    ("promise", "values", "met"),
    [
        (Promise("", "", least=0.985), [0.9, 0.985, 1.0], True),
        (Promise("", "", least=0.985), [0.9, 0.984, 1.0], False),
        (Promise("", "", least=0.985, every=True), [0.9, 0.985, 1.0], False),
        (Promise("", "", most=0.005), [0.005 + 1e-12], True),
        (Promise("", "", most=0.005), [0.0051], False),
        (Promise("", "", most=3), [1.0, math.nan, 1.0], False),
        (Promise("", ""), [1.0, math.nan], None),
    ],
)
def test_the_median_keeps_a_promise_or_every_seed_and_a_failure_breaks_it(
    promise: Promise, values: list[float], met: bool | None
) -> None:
    assert promise.met(values) is met


def test_limits_are_written_as_the_figures_are() -> None:
    assert Promise("", "", least=0.985, scale=100, unit="%").target == ">= 98.5 %"
    assert Promise("", "", most=0, digits=0, every=True).target == "<= 0, every seed"
    assert Promise("", "").target == "-"
    assert Promise("", "").shown(math.nan) == "failed"


def test_every_row_has_a_name_of_its_own_and_every_table_tells_something() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.promises for row in ROWS)


def a_row(name: str, measure: Callable[[Place], dict[str, float]]) -> Row:
    return Row(name, f"Title of {name}", measure, (Promise(f"what of {name}", "value", least=1),))


def refuse(place: Place) -> dict[str, float]:
    raise GateFailed("too bad")


class Crashing(ThreadPoolExecutor):
    """A pool whose process dies at the first job."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(BrokenProcessPool("gone"))
        return future


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Two rows, one of them refused; what is measured is noted. In a thread: a process would import everything."""
    done: list[tuple[str, int]] = []

    def good(place: Place) -> dict[str, float]:
        assert place.folder.is_dir()
        done.append(("good", place.seed))
        return {"value": 1.0 + place.seed}

    monkeypatch.setattr(run, "ROWS", (a_row("good", good), a_row("bad", refuse)))
    monkeypatch.setattr(page, "ROWS", run.ROWS)
    monkeypatch.setattr(run, "_pool", lambda stack: stack.enter_context(ThreadPoolExecutor(1)))
    return done


def test_an_interrupted_run_goes_on_and_a_named_row_is_measured_again(
    measured: list[tuple[str, int]], tmp_path: Path
) -> None:
    told: list[str] = []
    file = tmp_path / "out" / "results.json"
    run.measure(rows=["good"], seeds=1, path=file, tell=told.append)
    run.measure(rows=None, seeds=2, path=file, tell=told.append)
    assert measured == [("good", 0), ("good", 1)]
    run.measure(rows=["good"], seeds=1, path=file, tell=told.append)
    assert measured[2:] == [("good", 0)]
    results = json.loads(file.read_text())
    assert results["good"]["1"]["figures"] == {"value": 2.0}
    assert results["bad"]["0"]["error"] == "GateFailed: too bad"
    assert any("bad, seed 1" in line and "too bad" in line for line in told)


def test_a_failed_seed_and_a_missing_row_are_told(measured: list[tuple[str, int]], tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    run.measure(rows=["bad"], seeds=1, path=file, tell=lambda _: None)
    results = run.load(file)
    text = page.tables(results)
    assert "| what of bad | >= 1 | failed | failed | **no** |" in text
    assert "Seed 0 failed: GateFailed: too bad" in text
    assert "Not measured: `good`." in text
    assert page.broken(results) == ["what of bad"]


def test_a_crash_costs_its_row_only(
    measured: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pools = iter([Crashing, ThreadPoolExecutor])
    monkeypatch.setattr(run, "_pool", lambda stack: stack.enter_context(next(pools)(1)))
    run.measure(rows=["good"], seeds=2, path=tmp_path / "results.json", tell=lambda _: None)
    found = run.load(tmp_path / "results.json")["good"]
    assert "crashed" in found["0"]["error"]
    assert found["1"]["figures"] == {"value": 2.0}


def test_the_page_keeps_the_text_of_people(measured: list[tuple[str, int]], tmp_path: Path) -> None:
    run.measure(rows=["good"], seeds=3, path=tmp_path / "results.json", tell=lambda _: None)
    document = tmp_path / "builder.md"
    document.write_text("before\n<!-- results: begin -->\nold\n<!-- results: end -->\nafter\n")
    page.write(run.load(tmp_path / "results.json"), docs=tmp_path)
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| what of good | >= 1 | 1 | 2 | 3 | 2 | yes |" in text
    document.write_text("no marks")
    with pytest.raises(ValueError, match="no marks"):
        page.write(run.load(tmp_path / "results.json"), docs=tmp_path)


def test_faults_are_passes_only_while_they_are_planted() -> None:
    before = passes.REGISTRY
    with faults.planted():
        assert {str(step["pass"]) for step in faults.FAULTS.values()} <= set(passes.REGISTRY)
    assert passes.REGISTRY is before
