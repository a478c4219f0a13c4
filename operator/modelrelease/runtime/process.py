"""The life of the operator's process: stand by, lead, stop.

A standby only waits for the Lease. The leader lists everything, then works: watches feed
the queue, workers empty it. Told to stop, it finishes what it is at, gives the Lease away
and ends; a lost Lease ends it at once, before another write (`Elector.lost`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import kopf

from modelrelease.adapters.errors import ApiError
from modelrelease.adapters.kinds import Manifest
from modelrelease.adapters.kube import Kube
from modelrelease.domain import naming
from modelrelease.runtime.config import Config
from modelrelease.runtime.handlers import Informer, NewKinds, Resync, settings
from modelrelease.runtime.health import Health
from modelrelease.runtime.leader import Elector
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.queue import WorkQueue
from modelrelease.runtime.store import Store
from modelrelease.runtime.worker import Reconciles, Workers

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0  # for work in progress; well under the Lease's duration
PRIME_RETRY_SECONDS = 2.0


@dataclass(kw_only=True)
class Operator:
    """One replica. `make_reconciler` is called when it leads, with the cache that it decides on."""

    config: Config
    kube: Kube
    elector: Elector
    metrics: Metrics
    health: Health
    make_reconciler: Callable[[Store], Reconciles]
    catch_signals: Callable[[asyncio.Event], None]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _primed: bool = False

    async def run(self) -> None:
        """Live until told to stop, or until a part of the process ends, which raises its error."""
        self.catch_signals(self.stop)
        self.health.ready["a leader has listed everything"] = lambda: self._primed or not self.elector.leading
        try:
            if await self._unless_stopped(self.elector.acquire()):
                store = Store(namespaces=self.config.namespaces or None)
                if await self._unless_stopped(self._prime(store)):
                    await self._work(store)
        finally:
            await self.elector.release()

    async def _prime(self, store: Store) -> None:
        """Fill the cache, however long it takes: a decision on half of it would be worse than none."""
        while True:
            try:
                await store.resync(self.kube)
            except ApiError as error:
                log.warning("the first list failed and is tried again: %s", error)
                await asyncio.sleep(PRIME_RETRY_SECONDS)
            else:
                absent = f"; not installed: {', '.join(sorted(store.absent))}" if store.absent else ""
                log.info("listed %d releases%s", len(store.releases()), absent)
                return

    async def _work(self, store: Store) -> None:
        queue = WorkQueue()
        workers = Workers(
            queue=queue, reconciler=self.make_reconciler(store), metrics=self.metrics, count=self.config.workers
        )
        resync = Resync(store=store, kube=self.kube, queue=queue)
        scope = None if self.config.clusterwide else self.config.namespaces[0]
        kinds = NewKinds(kube=self.kube, absent=store.absent, namespace=scope)
        for key in store.releases():
            queue.add(key)
        self.metrics.show(queue=queue, releases=lambda: _releases(store))
        informer = Informer(store=store, queue=queue, metrics=self.metrics)
        informer.remember()
        workers.start()
        parts = [asyncio.create_task(workers.wait()), asyncio.create_task(resync.run())]
        if store.absent:
            parts.append(asyncio.create_task(kinds.run()))
        # Last, for at its end kopf cancels every task that is younger than itself.
        ended = asyncio.Event()
        watches = asyncio.create_task(self._watch(informer, ended))
        self.health.alive["workers run"] = lambda: workers.alive
        self.health.alive["watches run"] = lambda: not watches.done()
        self._primed = True
        try:
            await self._unless_stopped(*parts, watches)
        finally:
            await workers.stop(grace=GRACE_SECONDS)
            await self.elector.release()  # nothing is written any more; the next leader need not wait for the rest
            await self.health.stop()
            ended.set()
            await asyncio.wait([watches], timeout=GRACE_SECONDS)
            await _end([*parts, watches])

    async def _watch(self, informer: Informer, ended: asyncio.Event) -> None:
        ready = asyncio.Event()
        # kopf takes the signals for itself at its start; they are ours, for its own end comes last.
        retake = asyncio.create_task(_after(ready, lambda: self.catch_signals(self.stop)))
        try:
            await kopf.operator(
                registry=informer.registry(),
                settings=settings(),
                standalone=True,
                clusterwide=self.config.clusterwide,
                namespaces=self.config.namespaces,
                stop_flag=ended,
                ready_flag=ready,
            )
        finally:
            retake.cancel()

    async def _unless_stopped(self, *parts: Coroutine[Any, Any, None] | asyncio.Task[None]) -> bool:
        """Run until a part ends, and raise its error, if any; tell whether one did before the stop."""
        tasks = [part if isinstance(part, asyncio.Task) else asyncio.create_task(part) for part in parts]
        stopped = asyncio.create_task(self.stop.wait())
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        for task in done - {stopped}:
            task.result()
        if stopped in done:
            await _end([task for task, part in zip(tasks, parts, strict=True) if task is not part])
        return stopped not in done


async def _after(event: asyncio.Event, action: Callable[[], None]) -> None:
    await event.wait()
    action()


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel tasks; their errors have been seen, or come from being cut off."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _releases(store: Store) -> Iterator[Manifest]:
    for namespace, name in store.releases():
        if (release := store.get(naming.KIND, namespace, name)) is not None:
            yield release
