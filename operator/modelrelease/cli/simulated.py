"""A simulated release as text: a timeline and the decision, or what many runs have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from modelrelease.domain.status import Stage, VerdictValue
from modelrelease.simulate.interval import CONFIDENCE
from modelrelease.simulate.play import Ending, Look, Run
from modelrelease.simulate.report import quantiles, share

_STYLE = {Ending.PROMOTED: "bold green", Ending.ROLLED_BACK: "bold red", Ending.HELD: "bold yellow"}
_SAID = {
    Ending.PROMOTED: "promoted",
    Ending.ROLLED_BACK: "rolled back",
    Ending.HELD: "held: neither promoted nor rolled back",
}
_VERDICT = {
    VerdictValue.PASS: "green",
    VerdictValue.FAIL: "bold red",
    VerdictValue.INCONCLUSIVE: "yellow",
    VerdictValue.ERROR: "bold red",
}


def timeline(run: Run) -> Iterator[RenderableType]:
    """Yield one run for the terminal: when weight moved, on which verdicts, and how it ended."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    looks = {look.t: look for look in run.looks if look.moved}
    for t, weight in _moments(run):
        look = looks.get(t)
        moved = f"{weight:g} %" if weight is not None else ""
        table.add_row(clock(t), Text(moved, "bold"), Text(f"after {_place(look)}" if look else _began(run, t), "dim"))
        for verdict in look.verdicts if look else ():
            table.add_row("", Text(verdict.verdict.value, _VERDICT[verdict.verdict]), verdict.message)
    yield table
    yield Text()
    yield Text.assemble((_SAID[run.ending], _STYLE[run.ending]), f": {_decided(run)}")
    if run.ending is not Ending.PROMOTED:
        yield Text(f"{run.reason}: {run.message}")
    yield Text(
        f"the candidate answered {_grouped(run.candidate_requests)} requests, "
        f"{_grouped(run.bad_requests_served)} of them badly"
    )
    yield from (Text(f"note: {note}", "dim") for note in run.notes)


def _began(run: Run, t: float) -> str:
    return "of the traffic" if t == run.weights[0][0] else ""


def _moments(run: Run) -> list[tuple[float, float | None]]:
    """Return when the weight changed, and when the release ended without such a change."""
    moments: dict[float, float | None] = {look.t: None for look in run.looks if look.moved}
    moments |= dict(run.weights)
    return sorted(moments.items())


def _place(look: Look) -> str:
    if look.stage is Stage.SHADOW:
        return "the shadow"
    return "the bake" if look.stage is Stage.BAKE else f"the step at {look.weight} %"


def _decided(run: Run) -> str:
    if run.decided_at is None:
        return f"nothing was decided within {clock(run.ended_at)}"
    if run.ending is Ending.ROLLED_BACK and run.promoted_at is not None:
        return f"after {clock(run.decided_at)}, {clock(run.decided_at - run.promoted_at)} into the bake"
    if run.ending is Ending.PROMOTED:
        return f"it had all the traffic after {clock(run.decided_at)}"
    return f"after {clock(run.decided_at)}"


def clock(t: float) -> str:
    """Return a time in seconds as hours, minutes and seconds."""
    minutes, seconds = divmod(round(t), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"


def _grouped(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def summary(runs: Sequence[Run]) -> Iterator[RenderableType]:
    """Yield what many runs have in common."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("outcome", "runs", "share", f"{CONFIDENCE:.0%} interval", "median", "95 % within"):
        table.add_column(name, justify="left" if name == "outcome" else "right")
    for ending in Ending:
        mine = [run for run in runs if run.ending is ending]
        found = share(runs, ending)
        low, high = found["interval"]
        took = quantiles([run.decided_at for run in mine])
        times = [clock(took["median"]), clock(took["p95"])] if took else ["", ""]
        shares = [f"{found['share']:.1%}", f"{low:.1%} to {high:.1%}"]
        table.add_row(Text(ending.value, _STYLE[ending]), str(found["runs"]), *shares, *times)
    yield table
    bad = quantiles([run.bad_requests_served for run in runs])
    if bad is not None:
        yield Text(f"bad requests served: {bad['median']:g} in the median, {bad['p95']:g} or fewer in 95 % of the runs")
    for reason, count in Counter(run.reason for run in runs).most_common():
        yield Text(f"{count:>6}  {reason}", "dim")
    yield from (Text(f"note: {note}", "dim") for note in (runs[0].notes if runs else ()))
