"""The live view: the acts, the release as `modelrelease watch` shows it, and the traffic."""

from datetime import UTC, datetime

from modelrelease.cli.view import picture
from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from localcluster.demo.records import Request
from localcluster.demo.show import RECENT_S, Show
from localcluster.demo.timeline import quantile

_DONE, _NOW, _AHEAD, _BAD, _WAIT = "green", "bold cyan", "dim", "bold red", "yellow"


def render(show: Show) -> RenderableType:
    """Return everything that is shown now."""
    parts: list[RenderableType] = [_header(show), _acts(show)]
    if show.follower and show.follower.release:
        notice = f"not up to date: {show.follower.trouble}" if show.follower.trouble else ""
        parts.append(picture(show.follower.release, datetime.now(UTC), notice=notice))
    if show.recorder.requests:
        parts.append(_traffic(show))
    if show.waiting:
        parts.append(_waiting(show))
    return Group(*parts)


def clock(seconds: float) -> str:
    """Return minutes and seconds."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def _header(show: Show) -> Text:
    return Text.assemble(
        (" modelrelease demo ", "bold reverse"),
        ("  a model from source to all of the traffic, and bad ones stopped   ", "dim"),
        (clock(show.elapsed), "bold"),
        (f" gone, about {clock(show.left)} left", "dim"),
    )


def _acts(show: Show) -> Table:
    table = Table.grid(padding=(0, 1))
    took = {span.act: span.end - span.start for span in show.spans}
    for index, act in enumerate(show.acts):
        if show.failed(act.key):
            mark, style = "✘", _BAD
        elif act.key in took:
            mark, style = "✔", _DONE
        else:
            mark, style = ("▶", _NOW) if index == show.current else ("·", _AHEAD)
        spent = took.get(act.key)
        if spent is None and index == show.current:
            spent = show.clock() - show.act_started
        told = clock(spent) if spent is not None else f"about {clock(act.expected)}"
        table.add_row(
            Text(f" {mark}", style=style), Text(act.title, style=style), Text(told, style="dim", justify="right")
        )
    return table


def _traffic(show: Show) -> Panel:
    names, now = show.names, show.clock()
    recent: dict[str, list[Request]] = {}
    for request in show.recorder.since(now - RECENT_S):
        recent.setdefault(names.get(request.revision, request.revision) or "no answer", []).append(request)
    total = sum(map(len, recent.values())) or 1
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("answered by")
    for name in ("requests", "failed", "now/s", "share seen", "p95 ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for version, count in show.counts().items():
        here = recent.get(version, [])
        p95 = quantile((request.latency_ms for request in here), 0.95)
        table.add_row(
            Text(version, style="bold"),
            f"{count.total:,}",
            Text(f"{count.failed:,}", style=_BAD if count.failed else _DONE),
            f"{len(here) / RECENT_S:.0f}" if here else "-",
            f"{100 * len(here) / total:.0f} %" if here else "-",
            f"{p95:.1f}" if here else "-",
        )
    title = f" traffic: {show.rate:g}/s through the gateway, half HTTP, half gRPC "
    return Panel(table, title=title, title_align="left", box=ROUNDED, border_style="dim")


def _waiting(show: Show) -> Text:
    since = show.clock() - show.waiting_since
    return Text.assemble((" waiting for ", "dim"), (show.waiting, _WAIT), (f"  {clock(since)}", "dim"))
