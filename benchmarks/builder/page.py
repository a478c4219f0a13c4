"""docs/builder.md: the tables between its marks, and the picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.builder import plots, run
from benchmarks.builder.rows import ROWS, Promise, Row

_PAGE = "builder.md"
_MET = {True: "yes", False: "**no**", None: "-"}


def tables(results: run.Results) -> str:
    """All rows that were measured, each as a table under its title, and what they were measured on."""
    measured = [_row(row, results[row.name]) for row in ROWS if results.get(row.name)]
    missing = [f"`{row.name}`" for row in ROWS if not results.get(row.name)]
    left = [f"Not measured: {', '.join(missing)}."] if missing else []
    return "\n\n".join([f"Measured on: {run.machine(results)}.", *measured, *left])


def broken(results: run.Results) -> list[str]:
    """The promises that are not kept."""
    pairs = [(promise, results[row.name]) for row in ROWS if results.get(row.name) for promise in row.promises]
    return [promise.what for promise, found in pairs if promise.met(_values(promise, found)) is False]


def write(results: run.Results, *, docs: Path) -> None:
    """Write tables and picture; the text around the marks is people's.

    Raises:
        ValueError: the page has no marks.
    """
    page = docs / _PAGE
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    head, _, rest = page.read_text().partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"{_PAGE} has no marks for the results")
    page.write_text(f"{head}{begin}\n{tables(results)}\n{end}{tail}")
    plots.draw(results, path=docs / "builder.png")


def _row(row: Row, found: Mapping[str, Any]) -> str:
    seeds = sorted(found, key=int)
    head = ["what", "target", *(f"seed {seed}" for seed in seeds), "median", "met"]
    lines = [head, ["---"] * len(head), *(_promise(promise, found) for promise in row.promises)]
    errors = [f"Seed {seed} failed: {found[seed]['error']}" for seed in seeds if "error" in found[seed]]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join([f"### {row.title}", table, *errors])


def _promise(promise: Promise, found: Mapping[str, Any]) -> Sequence[str]:
    values = _values(promise, found)
    median = statistics.median(values) if all(map(math.isfinite, values)) else math.nan
    shown = map(promise.shown, [*values, median])
    return [promise.what, promise.target, *shown, _MET[promise.met(values)]]


def _values(promise: Promise, found: Mapping[str, Any]) -> list[float]:
    """One value per seed, NaN where the seed's build failed."""
    return [float(found[seed].get("figures", {}).get(promise.figure, math.nan)) for seed in sorted(found, key=int)]
