"""The way of one operator process to the API server, on which any call can go wrong or take its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from modelrelease.adapters import errors
from modelrelease.adapters.kinds import Manifest
from modelrelease.adapters.kube import Listed

from tests.fakes.faults import Crash
from tests.machine.guarded import Actor, GuardedCluster

T = TypeVar("T")


class Trouble(StrEnum):
    """What can happen to a call."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    CONFLICT = "409"
    TOO_MANY = "429"
    UNAVAILABLE = "500"
    LOST_ANSWER = "500 after the effect"
    DELAY = "on its way for long"


_BEFORE: dict[Trouble, Callable[[], BaseException]] = {
    Trouble.CRASH_BEFORE: lambda: Crash("killed"),
    Trouble.CONFLICT: lambda: errors.Conflict("the object has been modified"),
    Trouble.TOO_MANY: lambda: errors.TooManyRequests("slow down", retry_after=1.0),
    Trouble.UNAVAILABLE: lambda: errors.Unavailable("HTTP 500"),
}
_AFTER: dict[Trouble, Callable[[], BaseException]] = {
    Trouble.CRASH_AFTER: lambda: Crash("killed"),
    Trouble.LOST_ANSWER: lambda: errors.Unavailable("HTTP 500"),
}


@dataclass(frozen=True, kw_only=True)
class Mishap:
    """Trouble at the mutating call with a number (counted from 0 within one look at the release)."""

    at: int
    trouble: Trouble


@dataclass(kw_only=True)
class Wire:
    """Implements `Kube` for one process."""

    cluster: GuardedCluster
    actor: Actor
    mishap: Mishap | None = None
    read_trouble: Trouble | None = None  # hits the next read
    calls: int = 0
    dies: bool = False  # when the request that was on its way has arrived
    watcher: Callable[[str], None] | None = None  # told before and after each mutating call
    held: asyncio.Event = field(default_factory=asyncio.Event)  # a request is on its way
    arrives: asyncio.Event = field(default_factory=asyncio.Event)  # and reaches the API server now

    def prepare(self, mishap: Mishap | None) -> None:
        """Begin to count anew."""
        self.mishap, self.calls, self.dies = mishap, 0, False
        self.held, self.arrives = asyncio.Event(), asyncio.Event()

    async def get(self, kind: str, *, namespace: str | None, name: str) -> Manifest:
        self._read()
        return await self.cluster.get(kind, namespace=namespace, name=name)

    async def list(
        self,
        kind: str,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Listed:
        self._read()
        return await self.cluster.list(kind, namespace=namespace, labels=labels, fields=fields)

    async def apply(
        self, manifest: Manifest, *, manager: str, resource_version: str | None = None, force: bool = True
    ) -> Manifest:
        return await self._write(
            lambda: self.cluster.apply(manifest, manager=manager, resource_version=resource_version, force=force)
        )

    async def replace_status(self, manifest: Manifest, *, manager: str) -> Manifest:
        return await self._write(lambda: self.cluster.replace_status(manifest, manager=manager))

    async def delete(self, kind: str, *, namespace: str, name: str, uid: str, resource_version: str) -> Manifest | None:
        return await self._write(
            lambda: self.cluster.delete(
                kind, namespace=namespace, name=name, uid=uid, resource_version=resource_version
            )
        )

    async def create_event(self, event: Manifest) -> None:
        await self._write(lambda: self.cluster.create_event(event))

    def _read(self) -> None:
        trouble, self.read_trouble = self.read_trouble, None
        if trouble in (Trouble.TOO_MANY, Trouble.UNAVAILABLE, Trouble.CRASH_BEFORE):
            raise _BEFORE[trouble]()

    async def _write(self, act: Callable[[], Awaitable[T]]) -> T:
        number, self.calls = self.calls, self.calls + 1
        trouble = self.mishap.trouble if self.mishap and self.mishap.at == number else None
        if trouble is Trouble.DELAY:
            self.held.set()
            await self.arrives.wait()
        if trouble in _BEFORE:
            raise _BEFORE[trouble]()
        self._tell(f"before call {number}")
        with self.cluster.acting(self.actor):
            answer: Any = await act()
        self._tell(f"after call {number}")
        if trouble in _AFTER:
            raise _AFTER[trouble]()
        if trouble is Trouble.DELAY and self.dies:
            raise Crash("killed")
        return answer  # type: ignore[no-any-return]

    def _tell(self, where: str) -> None:
        if self.watcher is not None:
            self.watcher(where)
