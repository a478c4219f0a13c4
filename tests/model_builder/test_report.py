import html
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model_builder.finished import Finished, read
from model_builder.report import charts, page
from model_builder.report.charts import Axis, Dot, Interval, Series
from model_builder.report.words import metric_rows, number, size
from tests.model_builder import told
from tests.model_builder.conftest import Artifact

Command = Callable[..., tuple[int, dict[str, Any]]]
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style></title><b>", "a\0b\u202ec")
VOID = ("meta", "br")


class Page(HTMLParser):
    """What a browser would find, and whether every element is closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def rendered(folder: Path, text: str = "plain", **changes: Any) -> str:
    return page.render(read(told.artifact(folder, text, **changes)))


def pictures(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_the_page_tells_what_the_manifest_says(tmp_path: Path) -> None:
    found = rendered(tmp_path / "a")
    text = " ".join(Page(found).text)
    for fact in (
        read(tmp_path / "a").digest,
        "accuracy is 0.9; the gate asks for 0.5",
        "0.606 to 0.994",
        "2 KiB",
        "epochs: 2",
        "3 MiB",
        "file:///plain.csv",
        "onnxruntime",
        "repository/m/1/model.onnx",
    ):
        assert fact in text
    titles = [picture.findtext("title") for picture in pictures(found)]
    assert titles == [
        "Metrics with exact 95 % bounds",
        "Confusion matrix",
        "Reliability",
        "Size, time and quality",
        "Accuracy under attack",
        "Accuracy on corrupted rows",
    ]


@pytest.mark.parametrize(
    ("gates", "sentence"),
    [
        (told.GATES, "No gate blocks this artifact (1 held)."),
        ([*told.GATES, told.BLOCKED], "Kept back: a gate blocks this artifact."),
        ([], "Built without gates: nothing was asked of it."),
    ],
)
def test_the_verdict_is_said_first(tmp_path: Path, gates: list[Any], sentence: str) -> None:
    found = rendered(tmp_path / "a", gates=gates)
    said = [other for other in ("No gate blocks", "Kept back", "Built without gates") if other in found]
    assert len(said) == 1 and sentence.startswith(said[0])
    assert found.index(sentence) < found.index("<h2>")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return read(told.artifact(tmp_path_factory.mktemp("known") / "a"))


@settings(max_examples=12, deadline=None)
@given(text=st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=12))
def test_nothing_of_a_manifest_is_more_than_text(known: Finished, text: str) -> None:
    assume(text not in told.CLASSES)
    plain = Page(page.render(known))
    found = page.render(told.retold(known, text))
    shown = Page(found)
    assert {tag for tag, _ in shown.tags} <= {tag for tag, _ in plain.tags}
    assert {name for _, attributes in shown.tags for name in attributes} <= {
        name for _, attributes in plain.tags for name in attributes
    }
    assert all(picture.tag == "svg" for picture in pictures(found))
    assert not set(found) & {"\0", "\u202e"}
    found.encode()


def test_hostile_text_is_there_to_be_read(tmp_path: Path) -> None:
    found = rendered(tmp_path / "a", HOSTILE[0])
    assert HOSTILE[0] not in found
    assert html.escape(HOSTILE[0]) in found


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    found = rendered(tmp_path / "a")
    shown = Page(found)
    names = {name for _, attributes in shown.tags for name in attributes}
    assert not names & {"src", "href", "xlink:href", "srcset", "action", "style", "background"}
    assert not {name for name in names if name.startswith("on")}
    assert not {tag for tag, _ in shown.tags} & {"script", "link", "img", "iframe", "object", "embed", "image", "use"}
    assert "url(" not in found and "@import" not in found
    policy = next(a["content"] for tag, a in shown.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_a_regression_and_a_build_without_audits_are_told(tmp_path: Path) -> None:
    tables = {"final": {"answers": [[1.0, 1.5], [2.0, 2.0]]}}
    found = rendered(tmp_path / "a", tables=tables, audits={}, metrics={"rmse": {"value": 0.4, "rows": 2}})
    assert [picture.findtext("title") for picture in pictures(found)] == ["Answers against labels"]
    assert "None was asked for." in found


def test_many_classes_are_listed_by_their_worst_confusions(tmp_path: Path) -> None:
    names = [f"c{index}" for index in range(40)]
    counts = [[9 if i == j else 3 if (i, j) == (7, 2) else 0 for j in range(40)] for i in range(40)]
    found = rendered(tmp_path / "a", tables={"final": {"confusionMatrix": {"classes": names, "counts": counts}}})
    assert "c7 taken for c2: 3" in found
    assert "Confusion matrix" not in [picture.findtext("title") for picture in pictures(found)]


# --- pictures ---


@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-3, 1e9))
def test_ticks_are_between_the_ends(low: float, span: float) -> None:
    axis = Axis("x", low, low + span)
    assume(axis.high - axis.low > abs(low) * 1e-6)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    assert all(axis.low - span * 1e-6 <= tick <= axis.high + span * 1e-6 for tick in ticks)


def points_of(picture: str) -> list[tuple[float, float]]:
    line = ElementTree.fromstring(picture).find(".//polyline")
    assert line is not None
    return [(float(a), float(b)) for a, b in (pair.split(",") for pair in line.attrib["points"].split())]


def test_a_line_rises_where_its_values_do() -> None:
    series = [Series("s", ((0.0, 0.1), (0.5, 0.9), (1.0, 0.4)))]
    (x0, y0), (x1, y1), (x2, y2) = points_of(charts.lines("t", series, x=Axis("x", 0, 1), y=Axis("y", 0, 1)))
    assert x0 < x1 < x2 and x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 < y2 < y0
    assert (y0 - y2) / (y0 - y1) == pytest.approx(0.3 / 0.8, abs=0.01)


def test_an_interval_lies_around_its_value() -> None:
    drawn = ElementTree.fromstring(
        charts.intervals("t", [Interval("a", 0.2, 0.5, 0.9, other=0.6)], axis=Axis("x", 0, 1))
    )
    bar = next(line for line in drawn.iter("line") if line.attrib["stroke-width"] == "3")
    value, other = (float(circle.attrib["cx"]) for circle in drawn.iter("circle"))
    assert float(bar.attrib["x1"]) < value < other < float(bar.attrib["x2"])


def test_a_matrix_shows_every_count_once_and_right_ones_in_another_colour() -> None:
    drawn = ElementTree.fromstring(charts.matrix("t", ["a", "b"], [[7, 0], [2, 5]]))
    assert sorted(text.text or "" for text in drawn.iter("text")) == sorted([*"752", *"aabb", "answer", "label"])
    fills = [box.attrib["fill"] for box in drawn.iter("rect")]
    assert fills[0] == "#0072b2" and fills[1] == "#ffffff"
    red, blue = int(fills[2][1:3], 16), int(fills[2][5:7], 16)
    assert red > blue


def test_a_larger_model_is_a_larger_dot() -> None:
    drawn = ElementTree.fromstring(
        charts.dots("t", [Dot("s", 0, 0, 0.2), Dot("l", 1, 1, 1.0)], x=Axis("x", 0, 1), y=Axis("y", 0, 1))
    )
    small, large = (float(circle.attrib["r"]) for circle in drawn.iter("circle"))
    assert small < large


def test_a_grid_has_one_colour_above_zero_and_one_below() -> None:
    drawn = ElementTree.fromstring(charts.grid("t", [[2.0, -2.0], [0.0, 1.0]]))
    fills = [box.attrib["fill"] for box in drawn.iter("rect")]
    assert fills[:3] == ["#0072b2", "#d55e00", "#ffffff"] and fills[3] not in fills[:3]


def test_maps_of_an_audit_are_drawn_and_long_lists_are_cut(tmp_path: Path) -> None:
    tables = {"occlusion": [[0.1, 0.2], [0.3, -0.4]], "rows": [{"class": "cat", "parts": [[1, 2], [3, 4]]}]}
    audits = {"explain": {"parameters": {}, "messages": [], "tables": {**tables, "all": list(range(5000))}}}
    found = rendered(tmp_path / "a", audits=audits)
    assert [picture.findtext("title") for picture in pictures(found)].count("values") == 2
    assert "(the manifest has all)" in found and "4,999" not in found


# --- words ---


def test_metrics_of_all_models_share_a_row_in_the_order_of_the_table() -> None:
    rows = metric_rows({"sizeBytes": {"value": 1}, "recall:3.source": {"value": 0.5}, "accuracy.stable": {"value": 1}})
    assert [(row.name, list(row.by_model)) for row in rows] == [
        ("accuracy", ["stable"]),
        ("recall:3", ["source"]),
        ("sizeBytes", ["final"]),
    ]


def test_numbers_and_sizes_are_readable() -> None:
    assert [number(value) for value in (0.123456, 38104.5, 3e-7, 270, 12_000)] == [
        "0.1235", "38,104", "3e-07", "270", "12,000",
    ]  # fmt: skip
    assert [size(value) for value in (12, 1536, 5 * 2**30)] == ["12 B", "1.5 KiB", "5 GiB"]


# --- command ---


def test_a_report_is_written_beside_the_artifact_and_changes_nothing(tmp_path: Path, command: Command) -> None:
    folder = told.artifact(tmp_path / "a")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, last = command("report", folder, "--out", tmp_path / "r.html")
    assert (code, last["digest"], last["bytes"]) == (0, read(folder).digest, (tmp_path / "r.html").stat().st_size)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_without_out_the_page_is_all_that_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from model_builder.cli import main

    assert main(["report", str(told.artifact(tmp_path / "a"))]) == 0
    written = capsys.readouterr().out
    assert written.startswith("<!DOCTYPE html>") and written.endswith("</html>\n")


def test_nothing_is_written_into_an_artifact(tmp_path: Path, command: Command) -> None:
    folder = told.artifact(tmp_path / "a")
    code, last = command("report", folder, "--out", tmp_path / "a" / ".." / "a" / "repository" / "r.html")
    assert (code, last["error"]["reason"]) == (2, "BadSpec")
    assert "inside the artifact" in last["error"]["message"]
    assert not (folder / "repository" / "r.html").exists()


def test_a_damaged_artifact_gets_no_report(tmp_path: Path, command: Command) -> None:
    folder = told.artifact(tmp_path / "a")
    (folder / "golden.json").write_text("{ }")
    code, last = command("report", folder, "--out", tmp_path / "r.html")
    assert (code, last["error"]["reason"]) == (4, "ArtifactCorrupt")
    assert "golden.json" in last["error"]["message"] and not (tmp_path / "r.html").exists()


def test_a_manifest_of_another_version_is_told(tmp_path: Path, command: Command) -> None:
    folder = told.artifact(tmp_path / "a", data={})
    code, last = command("report", folder, "--out", tmp_path / "r.html")
    assert (code, last["error"]["reason"]) == (4, "ArtifactCorrupt")
    assert "another version" in last["error"]["message"]


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path, command: Command) -> None:
    code, last = command("report", told.artifact(tmp_path / "a"), "--out", tmp_path / "none" / "r.html")
    assert (code, last["error"]["reason"]) == (5, "StoreDenied")


def test_papers_need_the_standard_library_only() -> None:
    program = (
        "import sys\nfrom model_builder.report import bom, card, page, paper, provenance\n"
        "print(*sorted(set(sys.modules) & {'numpy', 'torch', 'onnx', 'yaml', 'matplotlib', 'rich'}))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert found == []


def test_a_real_build_is_told_whole(artifact: Artifact, tmp_path: Path, command: Command) -> None:
    assert command("report", artifact.directory, "--out", tmp_path / "r.html")[0] == 0
    text = (tmp_path / "r.html").read_text()
    shown = " ".join(Page(text).text)
    for name in read(artifact.directory).manifest["metrics"]:
        assert name.removesuffix(".source") in shown
    assert len(pictures(text)) == 4
