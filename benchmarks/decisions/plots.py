"""The pictures of docs/decisions.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.decisions.cells import Group
from benchmarks.decisions.rules import OURS, RULES
from benchmarks.decisions.targets import Results

_COLOURS = {
    OURS: "#0b6e4f",
    "Flagger": "#c1121f",
    "Flagger tuned": "#f4a261",
    "Argo tuned": "#5f7fbf",
    "Kayenta": "#8d6cab",
}


def draw(results: Results, *, folder: Path) -> None:
    """Draw what can be drawn from the results: false rollbacks, and what a bad candidate costs."""
    nulls = _rows(results, Group.NULL)
    faults = [row for row in _rows(results, Group.ERRORS) if "+0.2 pp" not in row["name"]]
    if nulls:
        _bars(
            nulls,
            path=folder / "decisions-healthy.png",
            value=lambda summary: 100 * summary["rolled_back"],
            title="Healthy candidates that were rolled back",
            label="% of runs",
            log=False,
        )
    if faults:
        _bars(
            faults,
            path=folder / "decisions-cost.png",
            value=lambda summary: max(summary["bad_median"], 1.0),
            title="Requests that a bad candidate spoilt until it was stopped (2 h if it never was), median",
            label="requests",
            log=True,
        )


def _rows(results: Results, group: Group) -> list[Any]:
    return [entry for entry in results.values() if entry["group"] == str(group)]


def _bars(rows: Sequence[Any], *, path: Path, value: Any, title: str, label: str, log: bool) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 0.42 * len(rows) + 1.4), constrained_layout=True)
    height = 0.8 / len(RULES)
    for place, rule in enumerate(RULES):
        found = [(index, value(row["rules"][rule])) for index, row in enumerate(rows) if rule in row["rules"]]
        offsets = [index + (place - (len(RULES) - 1) / 2) * height for index, _ in found]
        axes.barh(offsets, [number for _, number in found], height=height, color=_COLOURS[rule], label=rule)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(label)
    figure.suptitle(title, fontsize=11)
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=len(RULES), fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
