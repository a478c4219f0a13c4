"""The picture of docs/builder.md."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

_COLOURS = {
    "FP32": "#0b6e4f",
    "static INT8": "#5f7fbf",
    "FP16": "#f4a261",
    "dynamic INT8": "#8d6cab",
    "QAT": "#c1121f",
}
_ACCURACY = {"FP32": "accuracyFp32", "static INT8": "accuracyInt8", "FP16": "accuracyFp16"}
_TIMES = {"FP16": "Float16", "static INT8": "Int8Static", "dynamic INT8": "Int8Dynamic"}


def draw(results: dict[str, dict[str, Any]], *, path: Path) -> None:
    """Draw accuracy by format, and time by format beside FP32; nothing where neither was measured."""
    accuracies = {name: _of(results, "formats", key) for name, key in _ACCURACY.items()}
    accuracies["QAT"] = _of(results, "qat", "accuracyQat")
    known = {name: values for name, values in accuracies.items() if values}
    times = {
        network: {name: _of(results, row, key) for name, key in _TIMES.items()}
        for network, row in (("convolutional", "speed-conv"), ("encoder", "speed-encoder"))
    }
    timed = {network: found for network, found in times.items() if all(found.values())}
    if not known or not timed:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    for place, (name, values) in enumerate(known.items()):
        percent = [100 * value for value in values]
        left.plot([place] * len(values), percent, "o", color=_COLOURS[name], alpha=0.7, markersize=9)
    left.set_xticks(range(len(known)), list(known))
    left.set_xlim(-0.5, len(known) - 0.5)
    left.axhline(98.5, color="#888888", linestyle="--", linewidth=1)
    left.set_title("Accuracy of the digits, % (a point per seed; dashes: target)", fontsize=10)
    for index, found in enumerate(timed.values()):
        for place, (name, values) in enumerate(found.items()):
            right.bar(index + 0.27 * (place - 1), statistics.median(values), width=0.25, color=_COLOURS[name])
    right.legend(list(_TIMES), fontsize=8, frameon=False)
    right.set_xticks(range(len(timed)), list(timed))
    right.axhline(1.0, color="#888888", linestyle="--", linewidth=1)
    right.set_title("Time of one row beside FP32, one thread (median of the seeds)", fontsize=10)
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _of(results: dict[str, dict[str, Any]], row: str, figure: str) -> list[float]:
    """The figure of every seed that has it."""
    found = results.get(row, {})
    figures = (found[seed].get("figures", {}) for seed in sorted(found, key=int))
    return [float(each[figure]) for each in figures if figure in each]
