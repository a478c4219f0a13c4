"""docs/decisions.md: the tables between its marks, and the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.decisions import plots
from benchmarks.decisions.cells import Group, cells
from benchmarks.decisions.cost import Cost
from benchmarks.decisions.rules import OURS, RULES
from benchmarks.decisions.targets import Check, Results, targets

_PAGE = "decisions.md"
_HEALTHY = (Group.NULL, Group.BAKE, Group.SHADOW, Group.LOW)


def line(name: str, found: Mapping[str, Any]) -> str:
    """Return one cell's results for somebody who watches."""
    return f"{name}: " + "; ".join(f"{rule} {_cell(found[rule])}" for rule in RULES if rule in found)


def table_of_targets(checks: Iterable[Check]) -> str:
    """Return the promises as a table."""
    met = {True: "yes", False: "**no**", None: "-"}
    rows = [(check.what, check.target, check.found, met[check.met]) for check in checks]
    return _table(("what", "target", "found", "met"), rows)


def write(results: Results, *, cost: Cost | None, docs: Path) -> None:
    """Write tables and pictures; the text around the marks is people's."""
    page = docs / _PAGE
    text = page.read_text()
    text = _between(text, "targets", table_of_targets([*targets(results), *(cost.checks() if cost else ())]))
    for group in Group:
        text = _between(text, str(group), _of_group(results, group))
    page.write_text(text)
    plots.draw(results, folder=docs)


def _of_group(results: Results, group: Group) -> str:
    known = [results.get(f"{group}: {cell.name}") for cell in cells() if cell.group is group]
    rows = [entry for entry in known if entry is not None]
    if not rows:
        return "Not run yet."
    rules = [rule for rule in RULES if any(rule in entry["rules"] for entry in rows)]
    body = [
        (entry["name"], *(_cell(entry["rules"][rule]) if rule in entry["rules"] else "-" for rule in rules))
        for entry in rows
    ]
    return _table(("traffic", *(f"**{rule}**" if rule == OURS else rule for rule in rules)), body)


def _cell(summary: Mapping[str, Any]) -> str:
    """Return `promoted / rolled back / undecided in %, median minutes, bad requests median-p95`."""
    shares = "/".join(f"{100 * summary[key]:.3g}" for key in ("promoted", "rolled_back", "undecided"))
    times = [
        f"{mark} {summary[key]:.1f} min"
        for key, mark in (("minutes_promoted", "up"), ("minutes_rolled_back", "back"))
        if summary[key] is not None and summary["promoted" if mark == "up" else "rolled_back"] >= 0.02
    ]
    bad = [f"bad {_short(summary['bad_median'])}-{_short(summary['bad_p95'])}"] if summary["bad_p95"] > 0 else []
    return ", ".join([shares, *times, *bad])


def _short(value: float) -> str:
    return f"{value:.0f}" if value < 9_999.5 else f"{value / 1e3:.0f}k" if value < 9.995e5 else f"{value / 1e6:.1f}M"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(one) + " |" for one in lines)


def _between(text: str, mark: str, body: str) -> str:
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    head, _, rest = text.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"{_PAGE} has no marks for {mark}")
    return f"{head}{begin}\n{body}\n{end}{tail}"
