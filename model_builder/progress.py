"""Tells what is going on: a progress bar for a person at a terminal, one JSON object per line for a Job's log."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Reporter(Protocol):
    """What passes and commands report to."""

    def phase(self, name: str) -> None:
        """Begin a phase; the one before it is done."""

    def step(self, *, done: int, total: int, **figures: float) -> None:
        """Tell how far the phase has come."""

    def note(self, text: str) -> None:
        """Tell something that a person should know; it changes nothing in the result."""


class JsonReporter:
    """JSON lines, each with the seconds since the start."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._phase = ""

    def phase(self, name: str) -> None:
        """Write one line."""
        self._phase = name
        self._write({"event": "phase"})

    def step(self, *, done: int, total: int, **figures: float) -> None:
        """Write one line."""
        self._write({"event": "progress", "done": done, "total": total, **figures})

    def note(self, text: str) -> None:
        """Write one line."""
        self._write({"event": "note", "text": text})

    def _write(self, entry: dict[str, object]) -> None:
        seconds = round(time.monotonic() - self._started, 2)
        self._stream.write(json.dumps({**entry, "phase": self._phase, "seconds": seconds}) + "\n")
        self._stream.flush()


class TerminalReporter:
    """A bar per phase."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def phase(self, name: str) -> None:
        """Finish the bar of the last phase and show a new one."""
        self.finish()
        self._task = self._progress.add_task(name, total=None, note="")

    def step(self, *, done: int, total: int, **figures: float) -> None:
        """Move the bar."""
        if self._task is not None:
            note = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
            self._progress.update(self._task, completed=done, total=total, note=note)

    def note(self, text: str) -> None:
        """Write one line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def finish(self) -> None:
        """Fill the bar of the current phase."""
        if self._task is not None:
            task = self._progress.tasks[self._task]
            total = task.total or 1
            self._progress.update(self._task, completed=total, total=total)


class SilentReporter:
    """For use as a library."""

    def phase(self, name: str) -> None:
        """Nothing."""

    def step(self, *, done: int, total: int, **figures: float) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


@contextlib.contextmanager
def reporter() -> Iterator[Reporter]:
    """Bars on standard error if a person is there to see them, else JSON lines on standard output."""
    if not sys.stderr.isatty():
        yield JsonReporter(sys.stdout)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        terminal = TerminalReporter(progress)
        yield terminal
        terminal.finish()
