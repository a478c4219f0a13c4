"""Reads `traffic.csv`: increments per scrape at full traffic, for each version.

The header is `t,arm,requests,failures` and any of `pod`, `le_<ms>`... with `le_inf`,
`score_sum` with `score_count`, `pairs,worse,better`, `class_<name>`... and `routed`. Times
are seconds, those before 0 are stable's history; a row that is absent is a lost scrape.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelrelease.simulate.tape import ASSUMED_BOUND, Row, Tape, Version, plain_histogram

REQUIRED = ("t", "arm", "requests", "failures")
TOGETHER = (("score_sum", "score_count"), ("pairs", "worse", "better"))
OPTIONAL = ("pod", *(name for group in TOGETHER for name in group), "routed")
_BUCKET, _CLASS, _TOTAL = "le_", "class_", "le_inf"
_MOST = 10**15  # beyond this a count loses its last digit in a float


class TableError(ValueError):
    """The table can't be used; the message names line and column, the value, and what helps."""


@dataclass(frozen=True)
class _Line:
    """One line of the table with what is needed to complain about it."""

    number: int
    cells: Mapping[str, str]

    def wrong(self, column: str, problem: str) -> TableError:
        return TableError(f"line {self.number}, column {column}: {self.cells.get(column, '')!r} {problem}")

    def number_of(self, column: str) -> float:
        try:
            value = float(self.cells[column])
        except ValueError:
            raise self.wrong(column, "is not a number") from None
        if not math.isfinite(value):
            raise self.wrong(column, "is not a finite number; leave the row out where the scrape was lost")
        return value

    def count_of(self, column: str) -> int:
        value = self.number_of(column)
        if value < 0:
            raise self.wrong(
                column, "is negative; write increments, and what came after a reset of the counter as it is"
            )
        if value != int(value) or value > _MOST:
            raise self.wrong(column, "is not a whole number of requests; write increments of counters, not rates")
        return int(value)


@dataclass(frozen=True)
class _Columns:
    """What the header promises."""

    names: tuple[str, ...]
    buckets: tuple[tuple[float, str], ...]  # finite bounds, rising
    classes: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return name in self.names


def read_table(text: str) -> Tape:
    """Return the traffic of a table.

    Raises:
        TableError: it is not such a table.

    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except csv.Error as error:
        raise TableError(f"line {reader.line_num}: {error}; write plain comma-separated values") from error
    if not lines:
        raise TableError(f"the table is empty: begin with the header {','.join(REQUIRED)}")
    columns = _columns(*lines[0])
    rows: dict[Version, dict[tuple[float, str], Row]] = {version: {} for version in Version}
    for number, cells in lines[1:]:
        version, row = _row(number, cells, columns)
        if (row.t, row.pod) in rows[version]:
            pod = f" of pod {row.pod}" if row.pod else ""
            raise TableError(
                f"line {number}, column t: {row.t:g} is there twice for {version}{pod}; "
                "add up what belongs to one scrape"
            )
        rows[version][row.t, row.pod] = row
    return _tape(columns, {version: _sorted(found.values()) for version, found in rows.items()})


def _columns(number: int, header: Sequence[str]) -> _Columns:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        fix = "separate columns by commas" if len(header) == 1 else f"begin with {','.join(REQUIRED)}"
        raise TableError(f"line {number}: the header has no column {missing[0]}; {fix}")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise TableError(f"line {number}: the header has the column {twice} twice; leave one out")
    buckets = []
    for name in header:
        if name.startswith(_BUCKET) and name != _TOTAL:
            buckets.append((_bound(number, name), name))
        elif name not in (*REQUIRED, *OPTIONAL, _TOTAL) and not name.startswith(_CLASS):
            near = difflib.get_close_matches(name, (*REQUIRED, *OPTIONAL, _TOTAL), n=1)
            help_ = f"did you mean {near[0]}?" if near else "leave it out, or call a latency bucket le_<ms>"
            raise TableError(f"line {number}: the column {name!r} is not known; {help_}")
    for group in (*TOGETHER, *(((_TOTAL, buckets[0][1]),) if buckets else ())):
        lacking = [name for name in group if name not in header]
        if lacking and len(lacking) < len(group):
            raise TableError(
                f"line {number}: the header has no column {lacking[0]}; add it: {' and '.join(group)} go together"
            )
    if _TOTAL in header and not buckets:
        raise TableError(
            f"line {number}: the header has {_TOTAL} alone; add le_<ms> for at least one bound in milliseconds"
        )
    classes = tuple(name.removeprefix(_CLASS) for name in header if name.startswith(_CLASS))
    return _Columns(names=tuple(header), buckets=tuple(sorted(buckets)), classes=classes)


def _bound(number: int, name: str) -> float:
    try:
        bound = float(name.removeprefix(_BUCKET))
    except ValueError:
        bound = math.nan
    if not 0 < bound < math.inf:
        raise TableError(
            f"line {number}: the column {name!r} has no bound; write milliseconds, such as le_250, and le_inf"
        )
    return bound


def _row(number: int, cells: Sequence[str], columns: _Columns) -> tuple[Version, Row]:
    if len(cells) != len(columns.names):
        raise TableError(
            f"line {number}: has {len(cells)} values where the header has {len(columns.names)} columns; "
            "write one value for each, or leave the row out"
        )
    line = _Line(number, dict(zip(columns.names, cells, strict=True)))
    try:
        version = Version(line.cells["arm"])
    except ValueError:
        raise line.wrong("arm", "is not known: write stable, candidate or shadow") from None
    requests, failures = line.count_of("requests"), line.count_of("failures")
    if failures > requests:
        raise line.wrong("failures", f"is more than the {requests} requests; count failures among the requests")
    return version, Row(
        t=line.number_of("t"),
        pod=line.cells.get("pod", ""),
        requests=requests,
        failures=failures,
        within=_within(line, columns) if columns.buckets else plain_histogram(requests),
        classes=_parts(line, [f"{_CLASS}{name}" for name in columns.classes], of=requests),
        routed=_at_least(line, "routed", requests) if "routed" in columns else None,
        score=_score(line) if "score_sum" in columns else None,
        pairs=_pairs(line) if "pairs" in columns else None,
    )


def _within(line: _Line, columns: _Columns) -> tuple[int, ...]:
    names = [name for _, name in columns.buckets] + [_TOTAL]
    counts = [line.count_of(name) for name in names]
    for (_, low), (name, high) in pairwise(zip(names, counts, strict=True)):
        if high < low:
            raise line.wrong(name, f"is less than the {low} of the bound before; le_ counts are cumulative")
    return tuple(counts)


def _parts(line: _Line, names: Sequence[str], *, of: int) -> tuple[int, ...]:
    counts = tuple(line.count_of(name) for name in names)
    if sum(counts) > of:
        raise line.wrong(names[-1], f"makes {sum(counts)} with the other classes, more than the {of} requests")
    return counts


def _at_least(line: _Line, column: str, least: int) -> int:
    value = line.count_of(column)
    if value < least:
        raise line.wrong(column, f"is less than the {least} requests that were answered")
    return value


def _score(line: _Line) -> tuple[float, int]:
    total, count = line.number_of("score_sum"), line.count_of("score_count")
    if not 0 <= total <= count:
        raise line.wrong("score_sum", f"is not from 0 to score_count, {count}; scores are losses in 0..1")
    return total, count


def _pairs(line: _Line) -> tuple[int, int, int]:
    pairs, worse, better = (line.count_of(name) for name in TOGETHER[1])
    if worse + better > pairs:
        raise line.wrong("pairs", f"is less than worse and better, {worse} + {better}; ties count among the pairs only")
    return pairs, worse, better


def _sorted(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: (row.t, row.pod)))


def _tape(columns: _Columns, rows: Mapping[Version, tuple[Row, ...]]) -> Tape:
    for version in (Version.STABLE, Version.CANDIDATE):
        if not any(row.t > 0 for row in rows[version]):
            raise TableError(
                f"column arm: there is no row of {version} after t = 0; both versions need their increments"
            )
    notes = []
    if not columns.buckets:
        notes.append("the table has no latency: all answers are taken to be fast")
    return Tape(
        rows=rows,
        scrape=_spacing(rows),
        bounds=tuple(bound for bound, _ in columns.buckets) or (ASSUMED_BOUND,),
        classes=columns.classes,
        notes=tuple(notes),
    )


def _spacing(rows: Mapping[Version, tuple[Row, ...]]) -> float:
    """Return the usual time between two scrapes: lost ones make some gaps longer."""
    gaps = [later - earlier for found in rows.values() for earlier, later in pairwise(sorted({row.t for row in found}))]
    if not gaps:
        raise TableError("column t: there is one scrape only; write a row for each scrape of each version")
    return statistics.median_low(gaps)
