"""An event loop whose clock jumps to the next timer: tests of timing run at once and exactly."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = 1_000_000.0

P = ParamSpec("P")


class _Selector(selectors.DefaultSelector):
    """Instead of sleeping, moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("everything waits and nothing is scheduled: a deadlock")
            self.now += timeout
            assert self.now < LIMIT, "the test runs on and on"
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time."""
        return self._virtual.now


def now() -> float:
    """Return the virtual time."""
    return asyncio.get_running_loop().time()


def wall() -> datetime:
    """Return the virtual time as a moment."""
    return EPOCH + timedelta(seconds=now())


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
