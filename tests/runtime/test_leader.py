"""Leader election on virtual time, over a Lease with the API server's rules."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from modelrelease.adapters.errors import Conflict, NotFound, Unavailable
from modelrelease.runtime.leader import MANAGER, MANAGER_CREATE, Elector

from tests.runtime.virtual import now, virtual

Manifest = dict[str, Any]


class LeaseServer:
    """One Lease: server-side apply with resourceVersion, and ways to fail."""

    def __init__(self) -> None:
        self.fields: dict[str, Manifest] = {}
        self.version = 0
        self.down = False
        self.swallow = 0  # writes that are carried out but whose answer is lost
        self.late: list[float] = []

    async def get(self, kind: str, *, namespace: str | None, name: str) -> Manifest:
        await self._latency()
        if not self.version:
            raise NotFound("none")
        return self._lease()

    async def apply(
        self, manifest: Manifest, *, manager: str, resource_version: str | None = None, force: bool = True
    ) -> Manifest:
        await self._latency()
        if resource_version is not None and resource_version != str(self.version):
            raise Conflict("changed")
        if force:
            for other in self.fields.values():
                for name in manifest["spec"]:
                    other.pop(name, None)
        self.fields[manager] = dict(manifest["spec"])
        self.version += 1
        if self.swallow:
            self.swallow -= 1
            raise Unavailable("no answer")
        return self._lease()

    async def _latency(self) -> None:
        await asyncio.sleep(self.late.pop(0) if self.late else 0.01)
        if self.down:
            raise Unavailable("down")

    def _lease(self) -> Manifest:
        spec: Manifest = {}
        for owned in self.fields.values():
            spec |= owned
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": spec}

    @property
    def spec(self) -> Manifest:
        spec: Manifest = self._lease()["spec"]
        return spec


class Replica:
    """An elector, when it was told to die and when its fuse burns."""

    def __init__(self, server: LeaseServer, name: str) -> None:
        self.dead: list[tuple[float, str]] = []
        self.fuse: list[tuple[float, float]] = []
        self.elector = Elector(
            kube=server,  # type: ignore[arg-type]
            namespace="system",
            identity=name,
            lost=lambda why: self.dead.append((now(), why)),
            fuse=lambda seconds: self.fuse.append((now(), seconds)),
        )

    @property
    def leading(self) -> bool:
        return self.elector.leading


async def elect(replica: Replica, within: float = 60.0) -> float:
    began = now()
    await asyncio.wait_for(replica.elector.acquire(), within)
    return now() - began


@virtual
async def test_the_first_one_leads_at_once_and_remains_it() -> None:
    server = LeaseServer()
    a, b = Replica(server, "a"), Replica(server, "b")
    assert await elect(a) < 1
    waiting = asyncio.create_task(elect(b, 10_000))
    await asyncio.sleep(600)
    assert a.leading
    assert not b.leading
    assert not a.dead
    assert server.spec["holderIdentity"] == "a"
    waiting.cancel()
    await a.elector.release()


@virtual
async def test_of_two_that_start_together_one_leads() -> None:
    for _ in range(20):
        server = LeaseServer()
        a, b = Replica(server, "a"), Replica(server, "b")
        tasks = [asyncio.create_task(elect(r, 10)) for r in (a, b)]
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [a.leading, b.leading].count(True) == 1
        assert not a.dead + b.dead
        await a.elector.release()
        await b.elector.release()


@virtual
async def test_creating_the_lease_late_does_not_wipe_out_the_holder() -> None:
    server = LeaseServer()
    a = Replica(server, "a")
    await elect(a)
    await server.apply({"spec": {"leaseDurationSeconds": 15}}, manager=MANAGER_CREATE)
    assert server.spec["holderIdentity"] == "a"
    await asyncio.sleep(60)
    assert a.leading
    assert not a.dead
    await a.elector.release()


@virtual
async def test_a_released_lease_is_taken_over_within_a_retry() -> None:
    server = LeaseServer()
    a, b = Replica(server, "a"), Replica(server, "b")
    await elect(a)
    waiting = asyncio.create_task(elect(b))
    await asyncio.sleep(7)
    await a.elector.release()
    released = now()
    await waiting
    assert now() - released < 2.5
    assert server.spec["leaseTransitions"] == 2
    assert a.fuse[-1][1] == 0
    assert not a.dead
    await b.elector.release()


@virtual
async def test_a_release_whose_last_renewal_got_lost_still_works() -> None:
    server = LeaseServer()
    a = Replica(server, "a")
    await elect(a)
    await server.apply({"spec": {"holderIdentity": "a", "renewTime": "x"}}, manager=MANAGER)
    await a.elector.release()
    assert "holderIdentity" not in server.spec


@virtual
async def test_a_leader_that_died_is_followed_after_the_duration_and_not_before() -> None:
    server = LeaseServer()
    a, b = Replica(server, "a"), Replica(server, "b")
    await elect(a)
    assert a.elector._holding is not None
    waiting = asyncio.create_task(elect(b))
    await asyncio.sleep(30)
    a.elector._holding.cancel()  # kill -9
    died = now()
    await waiting
    assert 12.5 < now() - died < 20
    await b.elector.release()


@virtual
async def test_a_leader_without_api_server_is_dead_before_another_can_lead() -> None:
    server = LeaseServer()
    a, b = Replica(server, "a"), Replica(server, "b")
    await elect(a)
    await asyncio.sleep(20)
    last = max(when for when, _ in a.fuse)
    waiting = asyncio.create_task(elect(b, 1000))
    server.down = True
    await asyncio.sleep(14)
    ((died, why),) = a.dead
    assert died - last == pytest.approx(10, abs=0.1)
    assert "could not be renewed for 10 s" in why
    server.down = False
    await waiting
    assert now() - last > 14.5
    await b.elector.release()


@virtual
async def test_a_short_outage_costs_nothing() -> None:
    server = LeaseServer()
    a = Replica(server, "a")
    await elect(a)
    await asyncio.sleep(20)
    server.down = True
    await asyncio.sleep(6)
    server.down = False
    await asyncio.sleep(30)
    assert a.leading
    assert not a.dead
    await a.elector.release()


@virtual
async def test_a_renewal_that_hangs_counts_from_its_start() -> None:
    server = LeaseServer()
    a = Replica(server, "a")
    await elect(a)
    server.late = [6.0]
    await asyncio.sleep(12)
    renewed = next(item for item in a.fuse if item[0] > 6)
    assert renewed[1] == pytest.approx(15 - 6, abs=0.1)
    assert not a.dead
    await a.elector.release()


@virtual
async def test_a_renewal_whose_answer_is_lost_is_no_loss() -> None:
    server = LeaseServer()
    a = Replica(server, "a")
    await elect(a)
    server.swallow = 1
    await asyncio.sleep(30)
    assert a.leading
    assert not a.dead
    await a.elector.release()


@pytest.mark.parametrize("holder", ["thief", ""])
def test_a_lease_taken_away_ends_the_leader_at_its_next_renewal(holder: str) -> None:
    @virtual
    async def scenario() -> None:
        server = LeaseServer()
        a = Replica(server, "a")
        await elect(a)
        await server.apply({"spec": {"holderIdentity": holder, "renewTime": "now"}}, manager="kubectl")
        await asyncio.sleep(3)
        ((_, why),) = a.dead
        assert (holder or "nobody") in why
        assert not a.leading
        await a.elector.release()
        assert server.spec["holderIdentity"] == holder, "who lost the Lease does not write to it"

    scenario()


@virtual
async def test_the_fuse_is_always_lit_while_leading() -> None:
    server = LeaseServer()
    a = Replica(server, "a")
    await elect(a)
    await asyncio.sleep(120)
    assert all(0 < seconds <= 15 for _, seconds in a.fuse)
    ends = [when + seconds for when, seconds in a.fuse]
    assert all(later < end for (later, _), end in zip(a.fuse[1:], ends, strict=False))
    await a.elector.release()
