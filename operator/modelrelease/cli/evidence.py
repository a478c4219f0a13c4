"""The evidence as lines of the picture: what was counted, what is allowed, and how much is proven."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from modelrelease.cli.clocks import context_of
from modelrelease.cli.release import Release
from modelrelease.domain.mirroring import mirror_target
from modelrelease.domain.status import Stage, Verdict, VerdictValue

_STYLES = {
    VerdictValue.PASS: "green",
    VerdictValue.FAIL: "bold red",
    VerdictValue.INCONCLUSIVE: "yellow",
    VerdictValue.ERROR: "bold red",
}
_QUIET = "dim"
_DECIDES = 20.0  # the e-value at which a metric passes
_COUNTED = ("bad-requests",)  # metrics that are numbers of requests; all others but values are shares


def evidence(release: Release, table: Table) -> Iterator[tuple[str, RenderableType]]:
    """Yield (label, content): the table of verdicts, and a sentence on each that does not pass."""
    candidate = release.status.candidate
    if candidate is None or not candidate.verdicts:
        return
    for name in ("candidate", "stable", "allowed", "excess", "e-value", "samples"):
        table.add_column(name, justify="right", no_wrap=True)
    for verdict in candidate.verdicts:
        table.add_row(*_row(release, verdict), style=_QUIET if verdict.advisory else "")
    yield from (("", ""), ("evidence", table))
    for verdict in candidate.verdicts:
        if verdict.verdict is not VerdictValue.PASS:
            yield "", Text.assemble((f"{verdict.verdict}: ", _STYLES[verdict.verdict]), verdict.message)


def exposure(release: Release, now: datetime) -> Iterator[tuple[str, RenderableType]]:
    """Yield who gets copies of requests, and what the bake is compared with."""
    candidate, stable = release.status.candidate, release.status.stable
    if candidate is None or stable is None:
        return
    mirror = mirror_target(context_of(release, now))
    if candidate.mirror_stopped is not None:
        yield "shadow", Text.assemble(("no copies any more: ", "yellow"), candidate.mirror_stopped)
    elif mirror is not None and candidate.stage is not Stage.BAKE:
        yield "shadow", Text(f"copies of {mirror.percent} % of the requests go to {candidate.version}")
    if candidate.stage is not Stage.BAKE or candidate.bake_ended_at is not None:
        return
    held = 100 - candidate.weight.desired
    control = f"{held} % of the traffic stay on {stable.version}" if held else "none: only objectives decide"
    yield "control", Text(f"copies of {mirror.percent} % go to {stable.version}" if mirror else control)


def _row(release: Release, verdict: Verdict) -> Iterator[RenderableType]:
    values = {metric.name for metric in release.spec.rollout.analysis.metrics if metric.value is not None}
    share = verdict.metric not in values and verdict.metric not in _COUNTED
    yield verdict.metric
    yield Text(verdict.verdict, _STYLES[verdict.verdict])
    for number in (verdict.estimate, verdict.baseline, verdict.threshold):
        yield _number(number, share=share)
    if verdict.lower is None or verdict.upper is None:
        yield "-"
    else:
        yield f"{_number(verdict.lower, share=share)} to {_number(verdict.upper, share=share)}"
    yield _proof(verdict)
    yield f"{verdict.samples:,}"


def _proof(verdict: Verdict) -> str:
    """Show an e-value against the one that decides, which is another where it speaks against the candidate."""
    if verdict.e_value is None:
        return "-"
    told = f"{min(verdict.e_value, 1e6):,.3g}" if verdict.e_value < 1e6 else "over 1e6"
    return told if verdict.verdict is VerdictValue.FAIL else f"{told} of {_DECIDES:g}"


def _number(number: float | None, *, share: bool) -> str:
    if number is None:
        return "-"
    return f"{number:.2%}" if share else f"{number:,.4g}"
