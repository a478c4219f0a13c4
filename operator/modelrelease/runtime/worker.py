"""The workers: take a key, reconcile it, and say when it is due again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from modelrelease.adapters.errors import ApiError, Conflict, TooManyRequests
from modelrelease.runtime.logs import fields
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.queue import Key, WorkQueue

log = logging.getLogger(__name__)

# No decision takes that long: every request has a timeout of its own. What does is stuck, and
# stopping it is as safe as a crash at that point.
STUCK_SECONDS = 120.0


class Reconciles(Protocol):
    """What the workers run."""

    async def reconcile(self, key: Key) -> datetime | None:
        """Bring one release a step closer; return when to look again, events aside."""


@dataclass(kw_only=True)
class Workers:
    """Some workers on one queue."""

    queue: WorkQueue
    reconciler: Reconciles
    metrics: Metrics
    count: int
    stuck_seconds: float = STUCK_SECONDS
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _busy: set[asyncio.Task[None]] = field(default_factory=set)
    _stopping: bool = False

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._work(), name=f"worker {n}") for n in range(self.count)]

    @property
    def alive(self) -> bool:
        """Whether all workers run."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def wait(self) -> None:
        """Wait for the end of any worker, which never comes but by a mistake in this program."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self, *, grace: float) -> None:
        """Take no further key, let work in progress come to its end for some seconds, then cut it off."""
        self._stopping = True
        for task in self._tasks:
            if task not in self._busy:
                task.cancel()
        if self._busy:
            await asyncio.wait(set(self._busy), timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        me = asyncio.current_task()
        assert me is not None, "a worker is a task"
        while not self._stopping:
            key = await self.queue.get()
            self._busy.add(me)
            try:
                await self._reconcile(key)
            finally:
                self._busy.discard(me)

    async def _reconcile(self, key: Key) -> None:
        began = asyncio.get_running_loop().time()
        result = "error"
        try:
            async with asyncio.timeout(self.stuck_seconds):
                wake = await self.reconciler.reconcile(key)
        except Conflict as error:
            result = "conflict"
            self._lost_race(key, error)
        except ApiError as error:
            at_least = error.retry_after if isinstance(error, TooManyRequests) else 0.0
            self._failed(key, f"{type(error).__name__}: {error}", at_least=at_least)
        except Exception as error:  # noqa: BLE001 - a mistake about one release must not stop the others
            self._failed(key, f"{type(error).__name__}: {error}", unexpected=True)
        else:
            result = "success"
            self.queue.done(key)
            if wake is not None:
                self.queue.add_at(key, wake)
        self.metrics.reconciled(result=result, seconds=asyncio.get_running_loop().time() - began)

    def _lost_race(self, key: Key, error: Conflict) -> None:
        """Try again at once with fresh facts; whoever loses again and again backs off like any failure."""
        if self.queue.failures(key) == 0:
            self.queue.again(key)
        else:
            self._failed(key, f"Conflict: {error}")

    def _failed(self, key: Key, what: str, *, at_least: float = 0.0, unexpected: bool = False) -> None:
        namespace, name = key
        delay = self.queue.failed(key, at_least=at_least)
        about = fields(namespace=namespace, release=name, failures=self.queue.failures(key), retryIn=round(delay, 1))
        log.log(logging.ERROR if unexpected else logging.WARNING, what, extra=about, exc_info=unexpected)
