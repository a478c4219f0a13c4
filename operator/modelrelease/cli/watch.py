"""`modelrelease watch`: the picture, redrawn on every change and every second, until the release has ended."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live

from modelrelease.cli.errors import NO, OK, CommandError, NotFound
from modelrelease.cli.release import Release, ended, parse
from modelrelease.cli.view import picture
from modelrelease.domain.status import Outcome

if TYPE_CHECKING:
    from modelrelease.cli.cluster import Cluster

_REDRAW = 1.0
_RETRY = 2.0

Seen = Mapping[str, Any] | CommandError | None


def watch(cluster: Cluster, name: str, *, console: Console | None = None) -> int:
    """Show a release live; return 0 once it is promoted or at rest, 1 once it failed or was rolled back.

    Raises:
        CommandError: there is no answer at the start, or the release was deleted while it was watched.

    """
    release = parse(cluster.get(name))
    stop, changes = threading.Event(), queue.Queue[Seen]()
    follower = threading.Thread(target=_follow, args=(cluster, name, changes, stop), daemon=True)
    follower.start()
    try:
        with Live(console=console or Console(), auto_refresh=False) as live:
            return _until_ended(release, changes, live)
    finally:
        stop.set()


def _until_ended(release: Release, changes: queue.Queue[Seen], live: Live) -> int:
    notice = ""
    while True:
        live.update(picture(release, datetime.now(UTC), notice=notice), refresh=True)
        outcome = ended(release)
        if outcome is not None:
            return OK if outcome is Outcome.PROMOTED else NO
        try:
            seen = changes.get(timeout=_REDRAW)
        except queue.Empty:
            continue
        if seen is None or isinstance(seen, NotFound):
            raise NotFound(f"{release.name} was deleted while it was watched")
        if isinstance(seen, CommandError):
            notice = f"{seen}; trying again"
        else:
            release, notice = parse(seen), ""


def _follow(cluster: Cluster, name: str, changes: queue.Queue[Seen], stop: threading.Event) -> None:
    """Put every change into the queue, and every error, for as long as someone looks."""
    while not stop.is_set():
        try:
            for body in cluster.follow(name):
                changes.put(body)
        except CommandError as error:
            changes.put(error)
            stop.wait(_RETRY)
