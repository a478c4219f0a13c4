"""How a report reads: no name over another, no number broken in two, no room for shares that can't be."""

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest

from model_builder.report import charts, figures, words
from model_builder.report.charts import Axis, Dot
from tests.model_builder.test_report import Page, pictures, rendered


def trade_off(*accuracies: float) -> ElementTree.Element:
    entries = [
        {"model": str(index), "accuracy": value, "latencyP50Ms": 1.0, "sizeBytes": 10}
        for index, value in enumerate(accuracies)
    ]
    (drawn,) = figures.of_tables({"tradeOff": entries})
    return pictures(drawn)[0]


def test_names_of_points_at_the_same_place_do_not_cover_each_other() -> None:
    points = [Dot("final", 0.5, 0.5), Dot("source", 0.5, 0.5)]
    drawn = ElementTree.fromstring(charts.dots("t", points, x=Axis("x", 0, 1), y=Axis("y", 0, 1)))
    heights = [float(text.attrib["y"]) for text in drawn.iter("text") if text.text in ("final", "source")]
    assert abs(heights[0] - heights[1]) >= 12
    assert max(heights) < float(drawn.attrib["height"])


@pytest.mark.parametrize("accuracies", [(1.0, 1.0), (0.97, 0.98), (0.0, 0.02), (0.1, 0.9)])
def test_an_axis_of_shares_ends_where_shares_do(accuracies: tuple[float, ...]) -> None:
    drawn = trade_off(*accuracies)
    ticks = [float(text.text or "") for text in drawn.iter("text") if text.attrib.get("x") == "52.0"]
    assert len(ticks) >= 2 and min(ticks) >= 0 and max(ticks) <= 1
    heights = [float(circle.attrib["cy"]) for circle in drawn.iter("circle")]
    assert (heights[0] > heights[1]) == (accuracies[0] < accuracies[1])


def test_short_values_stay_on_one_line_and_long_ones_get_room(tmp_path: Path) -> None:
    found = rendered(tmp_path / "a")
    cells = found.split("<td ")[1:]
    kinds = {cell[cell.index(">") + 1 : cell.index("</td>")]: cell[: cell.index(">")] for cell in cells}
    assert kinds["2 KiB"] == 'class="short"'
    assert kinds["accuracy is 0.9; the gate asks for 0.5"] == 'class="long"'


def test_every_table_can_be_scrolled_on_a_narrow_screen(tmp_path: Path) -> None:
    tags = Page(rendered(tmp_path / "a")).tags
    parents = [before for before, (tag, _) in itertools.pairwise(tags) if tag == "table"]
    assert parents and all(parent == ("div", {"class": "wide"}) for parent in parents)


def test_parameters_have_the_names_of_the_spec() -> None:
    assert words.parameters({"smallest_group": 20, "favourable": ""}) == "smallestGroup: 20, favourable: -"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"lower": 0.5, "upper": 0.75}, "0.5 to 0.75"),
        ({"lower": 0.5}, "at least 0.5"),
        ({"upper": 0.75}, "at most 0.75"),
        ({}, ""),
    ],
)
def test_bounds_are_said_as_far_as_there_are_any(entry: dict[str, float], told: str) -> None:
    assert words.bounds("accuracy", entry) == told
