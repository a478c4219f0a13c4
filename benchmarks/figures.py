"""Figures, kept in a file until all have been measured, and told as a table."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number."""

    key: str
    """Names it across runs: a later run replaces it."""
    what: str
    value: str
    """With its unit, as people read it."""
    target: str
    met: bool | None
    """None where the target is not for this setting."""
    how: str
    """What was run, exactly enough to judge the number."""
    date: str = ""


def keep(figures: Iterable[Figure], *, path: Path) -> list[Figure]:
    """Add figures to those of earlier runs and return all, in the order of their first measurement."""
    known = {figure.key: figure for figure in load(path)}
    today = datetime.now(UTC).date().isoformat()
    known |= {figure.key: Figure(**{**asdict(figure), "date": today}) for figure in figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in known.values()], indent=1) + "\n")
    return list(known.values())


def load(path: Path) -> list[Figure]:
    """Return the figures of earlier runs."""
    return [Figure(**raw) for raw in json.loads(path.read_text())] if path.exists() else []


def table(figures: Sequence[Figure]) -> str:
    """Return figures as a Markdown table."""
    words = {True: "yes", False: "**no**", None: "-"}
    lines = ["| what | measured | target | met | how | date |", "|---|---|---|---|---|---|"]
    lines += [f"| {f.what} | {f.value} | {f.target} | {words[f.met]} | {f.how} | {f.date} |" for f in figures]
    return "\n".join(lines)


def write_into(document: Path, figures: Sequence[Figure]) -> None:
    """Replace the table between the markers of a document."""
    text = document.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    document.write_text(f"{head}{BEGIN}\n{table(figures)}\n{END}{tail}")


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value that this share of all values does not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
