"""Where the view goes: drawn in place on a terminal, else line by line."""

import sys
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from localcluster.demo import plain, view
from localcluster.demo.show import Show


class Screen(Protocol):
    """Shows the demo."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Show no more."""

    def update(self, show: Show) -> None:
        """Show the state as it is now."""


class LiveScreen:
    """Redraws the whole view in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, show: Show) -> None:
        """Draw."""
        self._live.update(view.render(show), refresh=True)


class PlainScreen:
    """Prints a line whenever something has changed."""

    def __init__(self) -> None:
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, show: Show) -> None:
        """Print, if there is something new to say."""
        line = plain.line(show)
        if line and line != self._last:
            self._last = line
            sys.stdout.write(plain.stamped(show, line) + "\n")
            sys.stdout.flush()


def screen(*, live: bool | None) -> Screen:
    """Return the screen for this standard output."""
    console = Console()
    return LiveScreen(console) if (console.is_terminal if live is None else live) else PlainScreen()
