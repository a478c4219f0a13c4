"""A release at rest, and its applier with plans of the test's own."""

from __future__ import annotations

from dataclasses import replace

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming
from modelrelease.domain.observed import Observed, Protocol, Slot
from modelrelease.domain.plan import Announce, Plan, Want, WantRoute, WantSlot
from modelrelease.domain.status import Status
from modelrelease.runtime.store import Key

from tests.fakes.samples import NAME, NAMESPACE, release
from tests.fakes.world import World

KEY: Key = (NAMESPACE, NAME)
STABLE = naming.service(NAME, Slot.STABLE)


class Bench:
    """A world at rest, and its applier with plans of the test's own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cluster = world.cluster
        self.applier = world.reconciler.applier

    @classmethod
    async def ready(cls) -> Bench:
        world = World()
        world.cluster.create(release())
        await world.run(KEY, seconds=10)
        return cls(world)

    async def observed(self) -> Observed:
        self.world.deliver()
        live = self.world.store.release(KEY)
        assert live is not None
        observer = self.world.reconciler.observer
        return await observer.observe(live, now=self.cluster.now, checked=None, write_problem=None)

    async def apply(
        self, *wants: Want, status: Status | None = None, announce: tuple[Announce, ...] = (), **facts: object
    ) -> bool:
        observed = replace(await self.observed(), **facts)  # type: ignore[arg-type] # the test's facts
        plan = Plan(status=status or observed.status, wants=wants, announce=announce)
        live = self.world.store.release(KEY)
        assert live is not None
        return await self.applier.apply(live, observed, plan, now=self.cluster.now)

    @property
    def problem(self) -> str:
        held = self.applier.refusals.of(KEY)
        return held.problem.reason if held else ""

    def since(self, count: int) -> list[str]:
        return [f"{write.verb} {write.kind}" for write in self.cluster.writes[count:]]

    def slot(self, slot: Slot = Slot.STABLE) -> Manifest:
        return self.cluster.at("Service", NAMESPACE, naming.service(NAME, slot))

    async def want_slot(self, revision: str, slot: Slot = Slot.STABLE) -> WantSlot:
        facts = (await self.observed()).slots.get(slot)
        return WantSlot(slot=slot, revision=revision, resource_version=facts.resource_version if facts else None)

    async def want_route(self, ppm: int, protocol: Protocol = Protocol.HTTP) -> WantRoute:
        facts = (await self.observed()).routes.get(protocol)
        version = facts.resource_version if facts else None
        return WantRoute(protocol=protocol, candidate_ppm=ppm, resource_version=version)
