"""The pictures of a report, from the tables of evaluation and audits; what a build has no table for has no picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model_builder.report import charts, words
from model_builder.report.charts import Axis, Dot, Interval, Series
from model_builder.report.markup import Child, Markup, element
from model_builder.report.words import Row

#: More classes than this are no picture any more; the worst confusions are listed instead.
_LARGEST_MATRIX, _LISTED = 30, 20
_SHARE = (0.0, 1.0)
#: More numbers than this are not drawn one by one.
_CELLS = 1024


def of_metrics(rows: Sequence[Row]) -> list[Markup]:
    """Metrics between 0 and 1 with their exact bounds, those of the final model."""
    drawn = []
    for row in rows:
        own, other = row.by_model.get("final", {}), row.by_model.get("source", {})
        if "lower" in own and "upper" in own and 0 <= own["lower"] <= own["upper"] <= 1:
            drawn.append(Interval(row.name, own["lower"], own["value"], own["upper"], other.get("value")))
    if not drawn:
        return []
    lowest = min(interval.lower for interval in drawn)
    axis = Axis("from 0 to 1", min(0.9, math.floor(lowest * 10) / 10), 1.0)
    picture = charts.intervals("Metrics with exact 95 % bounds", drawn, axis=axis)
    return [
        _figure(picture, "What lies between 0 and 1, with exact 95 % bounds, each one-sided. Hollow: the source model.")
    ]


def of_tables(tables: Mapping[str, Any]) -> list[Markup]:
    """Confusion matrix, reliability, answers of a regression, and what size and time buy."""
    final = tables.get("final", {})
    known: Mapping[str, Callable[[Mapping[str, Any]], Markup]] = {
        "confusionMatrix": lambda _: _confusion(final["confusionMatrix"]),
        "reliability": _reliability,
        "answers": lambda _: _answers(final["answers"]),
    }
    drawn = [draw(tables) for name, draw in known.items() if final.get(name)]
    return [*drawn, *([_trade_off(tables["tradeOff"])] if "tradeOff" in tables else [])]


def of_audit(tables: Mapping[str, Any]) -> list[Markup]:
    """Accuracy under attacks and corruptions."""
    drawn = []
    if tables.get("curve"):
        drawn.append(_attacks(tables["curve"], clean=tables["clean"]))
    if tables.get("corruptions"):
        drawn.append(_corruptions(tables["corruptions"], clean=tables["clean"]))
    return drawn


def of_search(trials: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The lowest validation loss of every trial of a search; None where no trial has one."""
    told = [trial for trial in trials if trial["loss"] is not None]
    if not told:
        return None
    best = min((trial["loss"] for trial in told if trial["state"] == "Complete"), default=None)
    points = [
        Dot(
            name=f"trial {trial['trial']}" if trial["loss"] == best else "",
            x=trial["trial"],
            y=trial["loss"],
            weight=0.05 if trial["state"] == "Complete" else 0.0,
        )
        for trial in told
    ]
    x = Axis.around("trial", [point.x for point in points])
    y = Axis.around("lowest validation loss", [point.y for point in points])
    return _figure(
        charts.dots("Search", points, x=x, y=y), "Trials in their order; small ones did not come to their end."
    )


def without_trials(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step but for the trials of its search, which have a table of their own."""
    if "trials" not in step.get("record", {}):
        return step
    return {**step, "record": {name: value for name, value in step["record"].items() if name != "trials"}}


def of_values(title: str, value: object) -> Markup | None:
    """A small picture of numbers in rows of the same length; None for anything else, and for too many."""
    if not isinstance(value, list) or not all(isinstance(row, list) and row for row in value):
        return None
    numbers = all(isinstance(number, int | float) for row in value for number in row)
    if len(value) < 2 or not numbers or len({len(row) for row in value}) != 1 or len(value) * len(value[0]) > _CELLS:
        return None
    return charts.grid(title, value)


def _confusion(table: Mapping[str, Any]) -> Markup:
    names, counts = table["classes"], table["counts"]
    if len(names) <= _LARGEST_MATRIX:
        picture = charts.matrix("Confusion matrix", names, counts)
        return _figure(picture, "Confusion matrix of the final model on the test split: rows are labels.")
    pairs = [(counts[i][j], names[i], names[j]) for i in range(len(names)) for j in range(len(names)) if i != j]
    worst = sorted((pair for pair in pairs if pair[0]), reverse=True)[:_LISTED]
    told = [element("li", f"{label} taken for {answer}: {count}") for count, label, answer in worst]
    return _figure(element("ul", *told), f"The most frequent confusions; {len(names)} classes are too many to draw.")


def _reliability(tables: Mapping[str, Any]) -> Markup:
    models = [name for name in words.MODELS.values() if tables.get(name, {}).get("reliability")]
    series = [
        Series(name, tuple((entry["confidence"], entry["accuracy"]) for entry in tables[name]["reliability"]))
        for name in models
    ]
    x, y = Axis("confidence", *_SHARE), Axis("share of right answers", *_SHARE)
    picture = charts.lines("Reliability", series, x=x, y=y, diagonal=True)
    rows = ", ".join(
        f"{entry['low']:g} to {entry['high']:g}: {entry['rows']}" for entry in tables["final"]["reliability"]
    )
    return _figure(
        picture, f"Reliability, on the dashes if confidence is right. Rows of the final model by bin: {rows}."
    )


def _answers(pairs: Sequence[Sequence[float]]) -> Markup:
    everything = [value for pair in pairs for value in pair]
    x, y = Axis.around("label", everything), Axis.around("answer", everything)
    points = [Dot("", label, answer, weight=0.0) for label, answer in pairs]
    picture = charts.dots("Answers against labels", points, x=x, y=y, diagonal=True)
    return _figure(picture, "Answers of the final model against the labels of test rows.")


def _trade_off(entries: Sequence[Mapping[str, Any]]) -> Markup:
    quality = "rmse" if "rmse" in entries[0] else "accuracy"
    largest = max(entry["sizeBytes"] for entry in entries)
    points = [
        Dot(
            name=f"{entry['model']}, {words.size(entry['sizeBytes'])}",
            x=entry["latencyP50Ms"],
            y=entry[quality],
            weight=entry["sizeBytes"] / largest if largest else 0.0,
        )
        for entry in entries
    ]
    x = Axis.around("median time of one row, ms", [0.0, *(point.x for point in points)])
    y = Axis.around(quality, [point.y for point in points], margin=0.4)
    if quality == "accuracy":
        y = Axis(quality, *_within_shares([point.y for point in points]))
    picture = charts.dots("Size, time and quality", points, x=x, y=y)
    return _figure(picture, "Size (area), time and quality of each model, measured turn about in one process.")


def _within_shares(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis around shares: no room above 1 or below 0, and some where all values are the same."""
    room = max(max(values) - min(values), 0.05)
    return max(min(values) - room, _SHARE[0]), min(max(values) + room, _SHARE[1])


def _attacks(curve: Sequence[Mapping[str, float]], *, clean: float) -> Markup:
    names = [name for name in curve[0] if name != "share"]
    series = [Series(name, ((0.0, clean), *((entry["share"], entry[name]) for entry in curve))) for name in names]
    x = Axis("strength, as a share of the range", 0.0, max(entry["share"] for entry in curve))
    picture = charts.lines("Accuracy under attack", series, x=x, y=Axis("accuracy", *_SHARE))
    return _figure(picture, "Accuracy under attacks by gradients, and under noise of the same size.")


def _corruptions(table: Sequence[Mapping[str, Any]], *, clean: float) -> Markup:
    series = [Series(str(entry["corruption"]), tuple(enumerate((clean, *entry["accuracy"])))) for entry in table]
    x = Axis("severity, 0 is none", 0.0, max(len(entry["accuracy"]) for entry in table))
    picture = charts.lines("Accuracy on corrupted rows", series, x=x, y=Axis("accuracy", *_SHARE))
    return _figure(picture, "Accuracy on corrupted rows.")


def _figure(picture: Markup, caption: Child) -> Markup:
    return element("figure", picture, element("figcaption", caption))
