"""A release as a picture for the terminal. Pure: a release and a moment in, something that rich prints out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.box import ROUNDED
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from modelrelease.cli.clocks import upcoming
from modelrelease.cli.evidence import evidence, exposure
from modelrelease.cli.ladder import ladder, weights
from modelrelease.cli.release import Release
from modelrelease.domain.codec import format_duration
from modelrelease.domain.status import Outcome

HISTORY_SHOWN = 5
_GOOD, _BAD, _BUSY, _QUIET, _WAIT = "green", "bold red", "cyan", "dim", "yellow"
_PHASES = {
    "Ready": _GOOD,
    "Failed": _BAD,
    "RolledBack": _BAD,
    "RollingBack": _BAD,
    "Holding": _BAD,
    "Paused": _WAIT,
    "Suspended": _WAIT,
}
_OUTCOMES = {Outcome.PROMOTED: _GOOD, Outcome.SUPERSEDED: _QUIET, Outcome.ABORTED: _WAIT}
# Next to a condition of this kind, the status that means trouble.
_TROUBLE = {"Ready": "False", "Stalled": "True", "RouteReady": "False", "AnalysisHealthy": "False"}
_DEGRADED = "Degraded"  # the reason of Ready where stable serves with fewer pods than it should have
_NEXT_VERB = {"Approval": "approve", "Suspended": "resume"}


def picture(release: Release, now: datetime, *, notice: str = "") -> RenderableType:
    """Return the whole view; `notice` is a line about the view itself, such as a lost connection."""
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style=_QUIET, no_wrap=True)
    lines.add_column(ratio=1, overflow="fold")
    for label, content in _lines(release, now):
        lines.add_row(label, content)
    if notice:
        lines.add_row("", Text(notice, style=_WAIT))
    return Panel(lines, title=_title(release), title_align="left", box=ROUNDED, border_style=_style(release))


def _lines(release: Release, now: datetime) -> Iterator[tuple[str, RenderableType]]:
    """Yield (label, content) from the top."""
    yield "now", _message(release)
    yield from _troubles(release)
    yield from _versions(release, now)
    if (steps := ladder(release)) is not None:
        yield from (("", ""), ("steps", steps))
    yield from weights(release)
    yield from exposure(release, now)
    yield from _ahead(release, now)
    yield from _evidence(release, now)
    if (history := _history(release, now)) is not None:
        yield from (("", ""), ("history", history))


def since(moment: datetime, now: datetime) -> str:
    """Return how long ago something was, short."""
    seconds = max(0, int((now - moment).total_seconds()))
    days, rest = divmod(seconds, 86400)
    if days:
        return f"{days}d{rest // 3600}h"
    return format_duration(seconds - seconds % 60 if seconds >= 3600 else seconds)


def _style(release: Release) -> str:
    return _PHASES.get(release.status.phase, _BUSY)


def _title(release: Release) -> Text:
    phase = release.status.phase or "not seen by the operator yet"
    return Text.assemble(
        (f" {release.name} ", "bold"),
        (f"in {release.namespace}  ", _QUIET),
        (f"{release.spec.model.version}  ", "bold"),
        (f"{phase} ", _style(release)),
    )


def _message(release: Release) -> Text:
    if not release.status.message:
        return Text("nothing is known yet: is the operator running?", style=_WAIT)
    behind = "" if release.current else " (of the spec before the last edit)"
    return Text.assemble(release.status.message, (behind, _WAIT))


def _troubles(release: Release) -> Iterator[tuple[str, Text]]:
    for condition in release.status.conditions:
        if _TROUBLE.get(condition.type) == condition.status:
            yield "", Text.assemble((f"{condition.type}={condition.status} ", _BAD), condition.message)
        elif condition.reason == _DEGRADED:
            yield "", Text.assemble((f"{condition.reason} ", _WAIT), condition.message)
    if release.status.rejected and release.status.candidate is None:
        yield "", _command("retry", release)


def _versions(release: Release, now: datetime) -> Iterator[tuple[str, Text]]:
    stable, candidate = release.status.stable, release.status.candidate
    if stable:
        servers = f"{stable.replicas} server{'s' if stable.replicas != 1 else ''}"
        told = f"  revision {stable.revision}, {servers}, stable for {since(stable.since, now)}"
        yield "stable", Text.assemble((stable.version, "bold"), told)
    if candidate:
        attempt = f"try {candidate.attempt}" if candidate.attempt > 1 else "first try"
        told = f"  revision {candidate.revision}, {attempt}, begun {since(candidate.started_at, now)} ago, in stage "
        yield "candidate", Text.assemble((candidate.version, "bold"), told, (str(candidate.stage), _BUSY))


def _ahead(release: Release, now: datetime) -> Iterator[tuple[str, Text]]:
    """Yield what is waited for and what the clock brings."""
    awaited, due = release.status.waiting_for, upcoming(release, now)
    if awaited or due:
        yield "", Text()
    if awaited:
        on = f"  since {since(awaited.since, now)}, on {awaited.who}"
        yield "waits for", Text.assemble((awaited.what, _WAIT), (on, _QUIET))
        if (verb := _NEXT_VERB.get(awaited.reason)) is not None:
            yield "", _command(verb, release)
    for index, item in enumerate(due):
        yield "" if index else "next", Text.assemble(item.what, (f"  in {since(now, item.at)}", _QUIET))


def _command(verb: str, release: Release) -> Text:
    return Text(f"modelrelease {verb} {release.name} -n {release.namespace}", style="bold")


def _evidence(release: Release, now: datetime) -> Iterator[tuple[str, RenderableType]]:
    yield from evidence(release, _table("metric", "verdict"))
    if (candidate := release.status.candidate) is not None and candidate.verdicts_at:
        yield "", Text(f"judged {since(candidate.verdicts_at, now)} ago", style=_QUIET)


def _history(release: Release, now: datetime) -> Table | None:
    entries = release.status.history[:HISTORY_SHOWN]
    if not entries:
        return None
    table = _table("version", "outcome")
    for name in ("peak", "bad", "took", "ago"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", style=_QUIET)
    for entry in entries:
        table.add_row(
            entry.version,
            Text(entry.outcome, _OUTCOMES.get(entry.outcome, _BAD)),
            f"{entry.peak_weight} %",
            f"{entry.bad_requests:,}",
            since(entry.started_at, entry.finished_at),
            since(entry.finished_at, now),
            entry.message or entry.reason,
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=_QUIET)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
