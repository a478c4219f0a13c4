"""The work queue: keys of releases that are to be looked at, now or later.

An event says only that something changed, never what, so a key is in the queue once however
many events name it. A key is never worked on twice at once; what happens to it meanwhile
makes it due again. All times are those of the event loop's clock, and one timer serves every
delayed key: an idle release costs a heap entry, not a task.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

Key = tuple[str, str]  # namespace, name


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long a failing key waits: doubling from `first` to `cap` seconds, the last half of it random."""

    first: float = 0.2
    cap: float = 60.0
    rng: Callable[[], float] = random.random

    def delay(self, failures: int) -> float:
        """Return the wait after this many failures in a row (at least one)."""
        whole: float = min(self.cap, self.first * 2.0 ** min(failures - 1, 30))
        return whole * (0.5 + self.rng() / 2)


@dataclass(kw_only=True)
class _Entry:
    """What is known of one key. It lives only while the key is queued, delayed, worked on or failing."""

    queued_since: float | None = None
    due: float | None = None  # of the delayed add that counts; other heap items of the key are stale
    working: bool = False
    dirty: bool = False  # named again while it was worked on
    failures: int = 0
    not_before: float = 0.0  # the server asked for patience; events do not shorten it

    @property
    def idle(self) -> bool:
        return self.queued_since is None and self.due is None and not self.working and not self.failures


def _wall() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class WorkQueue:
    """A keyed queue for one event loop; first come, first served."""

    backoff: Backoff = field(default_factory=Backoff)
    wall: Callable[[], datetime] = _wall
    _entries: dict[Key, _Entry] = field(default_factory=dict)
    _ready: deque[Key] = field(default_factory=deque)
    _heap: list[tuple[float, int, Key]] = field(default_factory=list)
    _sequence: int = 0
    _timer: asyncio.TimerHandle | None = None
    _waiters: deque[asyncio.Future[None]] = field(default_factory=deque)

    def __len__(self) -> int:
        """Return how many keys wait for a worker right now."""
        return len(self._ready)

    @property
    def delayed(self) -> int:
        """How many keys wait for a moment in the future."""
        return sum(entry.due is not None for entry in self._entries.values())

    @property
    def working(self) -> frozenset[Key]:
        """The keys that workers hold."""
        return frozenset(key for key, entry in self._entries.items() if entry.working)

    @property
    def oldest_age(self) -> float:
        """How long the key at the head has waited, in seconds."""
        since = self._entries[self._ready[0]].queued_since if self._ready else None
        return 0.0 if since is None else max(0.0, _clock() - since)

    def add(self, key: Key) -> None:
        """Make a key due now; if the server asked for patience about it, due then."""
        entry = self._entries.setdefault(key, _Entry())
        if entry.not_before > _clock():
            self._delay(key, entry, entry.not_before)
        elif entry.working:
            entry.dirty = True
        elif entry.queued_since is None:
            entry.queued_since, entry.due = _clock(), None
            self._ready.append(key)
            self._wake_one()

    def add_at(self, key: Key, when: datetime) -> None:
        """Make a key due at a moment. Of several moments the earliest counts."""
        self.add_after(key, (when - self.wall()).total_seconds())

    def add_after(self, key: Key, seconds: float) -> None:
        """Make a key due in some seconds. Of several moments the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        entry = self._entries.setdefault(key, _Entry())
        if entry.queued_since is None:
            self._delay(key, entry, max(_clock() + seconds, entry.not_before))

    async def get(self) -> Key:
        """Wait for a key and take it. Every `get` is followed by one `done` or `failed`.

        Taking a key drops its delayed add: the work that starts now answers when to look again.
        """
        while not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()  # this one was called but leaves: call the next
                raise
        key = self._ready.popleft()
        entry = self._entries[key]
        entry.queued_since, entry.due, entry.working, entry.dirty = None, None, True, False
        return key

    def done(self, key: Key) -> None:
        """Give a key back after success."""
        entry = self._entries[key]
        entry.failures, entry.not_before = 0, 0.0
        self._release(key, entry)

    def failed(self, key: Key, *, at_least: float = 0.0) -> float:
        """Give a key back after a failure; return in how many seconds it is due again.

        An event makes it due earlier, for it may be the cure, but never before `at_least` seconds
        (the wait that the server asked for), and not before a second if the key's wait is that
        long: a failing key that is woken by its own writes must not spin.
        """
        entry = self._entries[key]
        entry.failures += 1
        delay = max(self.backoff.delay(entry.failures), at_least)
        entry.not_before = _clock() + max(at_least, min(delay, 1.0))
        self._delay(key, entry, _clock() + delay)
        self._release(key, entry)
        return delay

    def again(self, key: Key) -> None:
        """Give a key back that lost a race: it counts as failed but is due at once."""
        entry = self._entries[key]
        entry.failures += 1
        entry.dirty = True
        self._release(key, entry)

    def failures(self, key: Key) -> int:
        """Return how often the key failed in a row."""
        entry = self._entries.get(key)
        return entry.failures if entry else 0

    def _release(self, key: Key, entry: _Entry) -> None:
        entry.working = False
        if entry.dirty:
            entry.dirty = False
            self.add(key)
        if entry.idle:
            del self._entries[key]

    def _delay(self, key: Key, entry: _Entry, due: float) -> None:
        if entry.due is not None and entry.due <= due:
            return
        entry.due = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))
        self._arm()

    def _arm(self) -> None:
        """Set the one timer to the earliest delayed key."""
        due = self._heap[0][0]
        if self._timer is not None and not self._timer.cancelled() and self._timer.when() <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        """Queue every key whose moment has come and drop heap items that no longer count."""
        self._timer = None
        now = _clock()
        while self._heap and (self._heap[0][0] <= now or self._stale(self._heap[0])):
            item = heapq.heappop(self._heap)
            if not self._stale(item):
                self._entries[item[2]].due = None
                self.add(item[2])
        if self._heap:
            self._arm()

    def _stale(self, item: tuple[float, int, Key]) -> bool:
        entry = self._entries.get(item[2])
        return entry is None or entry.due != item[0]

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _clock() -> float:
    return asyncio.get_running_loop().time()
