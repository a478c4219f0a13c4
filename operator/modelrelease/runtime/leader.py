"""One leader among the replicas, by a Lease.

The leader renews every few seconds; whoever sees no renewal for the Lease's duration takes
over. Only the own monotonic clock is looked at (when did *I* last see the record change),
so clocks of nodes may differ. This keeps two replicas from working at once nearly always;
what makes it safe always is that every write of weight and status carries the
resourceVersion it was decided on.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from modelrelease.adapters.errors import ApiError, Conflict, NotFound
from modelrelease.adapters.kinds import KINDS, Manifest
from modelrelease.adapters.kube import Kube
from modelrelease.domain import naming

log = logging.getLogger(__name__)

LEASE_NAME = naming.MANAGED_BY
MANAGER = f"{naming.MANAGED_BY}-lease"
# Creates the Lease without a holder. Of its own, so that a replica that creates what another
# one has created and taken meanwhile does not wipe out that one's name.
MANAGER_CREATE = f"{MANAGER}-create"


class LeaseLost(Exception):  # noqa: N818 - named for what happened
    """Another process holds the Lease, or nobody does."""


def _no_fuse(_seconds: float) -> None:
    return


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds: others wait `duration`, the leader gives up after `deadline`, tries are `retry` apart."""

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


@dataclass(kw_only=True)
class Elector:
    """One process's part in the election.

    `lost` is called when this process is no longer the leader; it must end the process.
    `fuse` is told after each renewal in how many seconds this process must be dead unless
    told again; 0 means never. It is the guard against an event loop that stands still.
    """

    kube: Kube
    namespace: str
    identity: str
    lost: Callable[[str], None]
    name: str = LEASE_NAME
    timing: Timing = field(default_factory=Timing)
    fuse: Callable[[float], None] = _no_fuse
    leading: bool = False
    _seen: tuple[str, str] = ("", "")  # holder and renewTime
    _seen_at: float = 0.0
    _renewed_at: float = 0.0
    _lease: Manifest | None = None
    _holding: asyncio.Task[None] | None = None

    async def acquire(self) -> None:
        """Wait until this process is the leader, and remain it in the background from then on."""
        await self._until(self._acquire_once)
        self._holding = asyncio.create_task(self._hold(), name="lease")
        log.info("leading as %s", self.identity)

    async def release(self) -> None:
        """Give the Lease up, so that the next leader need not wait; failing to is no harm."""
        if self._holding is not None:
            self._holding.cancel()
            await asyncio.gather(self._holding, return_exceptions=True)
        if not self.leading or self._lease is None:
            return
        self.leading = False
        self.fuse(0.0)
        try:
            # The renewal that was cut off may have been carried out: the version that counts is the live one.
            lease = await self.kube.get("Lease", namespace=self.namespace, name=self.name)
            if _holder(lease) == self.identity:
                kept = {"leaseTransitions": lease["spec"].get("leaseTransitions", 1)}
                await self._write(lease, {"leaseDurationSeconds": 1, "renewTime": _stamp(), **kept})
                log.info("the Lease is released")
        except ApiError as error:
            log.warning("the Lease could not be released and will run out: %s", error)

    async def _hold(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._pause())
                left = self._renewed_at + self.timing.deadline - _clock()
                async with asyncio.timeout(max(0.0, left)):
                    await self._until(self._renew_once)
        except TimeoutError:
            self._gone(f"the Lease could not be renewed for {self.timing.deadline:.0f} s")
        except LeaseLost as error:
            self._gone(str(error))

    def _gone(self, why: str) -> None:
        self.leading = False
        self.lost(why)

    async def _until(self, step: Callable[[], Awaitable[bool]]) -> None:
        """Repeat a step until it succeeds; an API server that fails is no reason to stop trying."""
        while True:
            try:
                if await step():
                    return
            except ApiError as error:
                log.warning("leader election: %s", error)
            await asyncio.sleep(self._pause())

    async def _acquire_once(self) -> bool:
        try:
            lease = await self.kube.get("Lease", namespace=self.namespace, name=self.name)
        except NotFound:
            bare = self._manifest({"leaseDurationSeconds": round(self.timing.duration)})
            lease = await self.kube.apply(bare, manager=MANAGER_CREATE)
        spec = lease.get("spec") or {}
        holder = _holder(lease)
        seen = (holder, spec.get("renewTime") or "")
        if holder != self._seen[0] and holder not in ("", self.identity):
            log.info("standing by: %s leads", holder)
        if seen != self._seen:
            self._seen, self._seen_at = seen, _clock()
        patience = float(spec.get("leaseDurationSeconds") or self.timing.duration)
        if holder not in ("", self.identity) and _clock() - self._seen_at < patience:
            return False
        transitions = int(spec.get("leaseTransitions") or 0) + 1
        try:
            await self._take(lease, {"acquireTime": _stamp(), "leaseTransitions": transitions})
        except Conflict:
            return False  # another one was faster
        self.leading = True
        return True

    async def _renew_once(self) -> bool:
        assert self._lease is not None, "only a leader renews"
        spec = self._lease["spec"]
        kept = {name: spec[name] for name in ("acquireTime", "leaseTransitions") if name in spec}
        try:
            await self._take(self._lease, kept)
        except (Conflict, NotFound):
            # Someone wrote to it: a person, a renewal of ours whose answer was lost, or the next leader.
            lease = await self.kube.get("Lease", namespace=self.namespace, name=self.name)
            if (holder := _holder(lease)) != self.identity:
                raise LeaseLost(f"the Lease is held by {holder or 'nobody'} now") from None
            self._lease = lease
            return False
        return True

    async def _take(self, lease: Manifest, more: Manifest) -> None:
        began = _clock()
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(self.timing.duration),
            "renewTime": _stamp(),
            **more,
        }
        self._lease = await self._write(lease, spec)
        self._renewed_at = began  # not when the answer came: others may have counted since the write
        self.fuse(began + self.timing.duration - _clock())

    async def _write(self, lease: Manifest, spec: Manifest) -> Manifest:
        version = lease["metadata"]["resourceVersion"]
        return await self.kube.apply(self._manifest(spec), manager=MANAGER, resource_version=version)

    def _manifest(self, spec: Manifest) -> Manifest:
        meta = {"name": self.name, "namespace": self.namespace}
        return {"apiVersion": KINDS["Lease"].api_version, "kind": "Lease", "metadata": meta, "spec": spec}

    def _pause(self) -> float:
        return self.timing.retry * random.uniform(1.0, 1.2)  # noqa: S311 - no secret


def _holder(lease: Manifest) -> str:
    return (lease.get("spec") or {}).get("holderIdentity") or ""


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
