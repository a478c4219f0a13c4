"""Progress lines: what is being waited for, and how long it has taken so far."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from localcluster.errors import ClusterError


class Progress:
    """Writes one line per event to standard error, prefixed with the seconds since the start."""

    def __init__(self, *, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._start = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since this object was made."""
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        """Write one line."""
        if not self._quiet:
            self._stream.write(f"[{self.elapsed:6.1f} s] {text}\n")
            self._stream.flush()

    @contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """Say when a stage begins to be waited for and how long it took."""
        began = time.monotonic()
        self.say(f"{text} ...")
        yield
        self.say(f"{text}: {time.monotonic() - began:.1f} s")


def wait_until(
    condition: Callable[[], bool],
    *,
    what: str,
    timeout: float,
    interval: float = 0.05,
    hint: Callable[[], str] | None = None,
) -> None:
    """Poll ``condition`` until it holds; after ``timeout`` seconds raise an error that says what was awaited."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            more = f" ({hint()})" if hint else ""
            msg = f"gave up after {timeout:.0f} s waiting for {what}{more}"
            raise ClusterError(msg)
        time.sleep(interval)
