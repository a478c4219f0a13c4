"""Writing routes for the gateway as it is, and taking objects away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from modelrelease.adapters import errors
from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming
from modelrelease.domain.observed import FLOOR_PPM, PPM, GatewayFacts, Mirror, Protocol, Slot, Unknown
from modelrelease.domain.plan import Remove

from tests.fakes.bench import KEY, Bench
from tests.fakes.samples import NAME, NAMESPACE


@pytest.fixture
async def bench() -> Bench:
    return await Bench.ready()


class TestRoutes:
    async def test_a_gateway_that_mixes_its_backends_gets_no_filters(self, bench: Bench) -> None:
        bench.cluster.purge("HTTPRoute", NAMESPACE, NAME)
        await bench.apply(await bench.want_route(FLOOR_PPM), gateway=GatewayFacts(tells_slots_apart=False))
        backends = bench.cluster.at("HTTPRoute", NAMESPACE, NAME)["spec"]["rules"][0]["backendRefs"]
        assert all("filters" not in backend for backend in backends)

    async def test_a_restart_keeps_the_route_as_it_was_made(self, bench: Bench) -> None:
        """Whether the gateway can be asked just now or not: a rollback does not depend on it."""
        await bench.apply(await bench.want_route(500_000))
        bench.world.gateway.answer = Unknown(message="no answer")
        await bench.world.restart()
        again = Bench(bench.world)
        await again.apply(await again.want_route(FLOOR_PPM))
        backends = again.cluster.at("HTTPRoute", NAMESPACE, NAME)["spec"]["rules"][0]["backendRefs"]
        assert [backend["weight"] for backend in backends] == [PPM - 1, 1]
        assert all(backend["filters"] for backend in backends)

    async def test_edited_rules_are_put_back(self, bench: Bench) -> None:
        def hijack(live: Manifest) -> None:
            live["spec"]["rules"] = [{"backendRefs": [{"name": "mine", "port": 80}]}]

        bench.cluster.edit("HTTPRoute", NAMESPACE, NAME, hijack)
        await bench.world.run(KEY, seconds=3)
        backends = bench.cluster.at("HTTPRoute", NAMESPACE, NAME)["spec"]["rules"][0]["backendRefs"]
        assert [backend["name"] for backend in backends] == [f"{NAME}-stable", f"{NAME}-candidate"]

    async def test_copies_are_written_and_taken_off_again_and_nothing_else_moves(self, bench: Bench) -> None:
        shadow = Mirror(slot=Slot.PREVIEW, percent=40)
        before = bench.cluster.at("HTTPRoute", NAMESPACE, NAME)["spec"]
        for mirror in (shadow, None):
            want = replace(await bench.want_route(FLOOR_PPM), mirror=mirror)
            assert await bench.apply(want)
            assert (await bench.observed()).routes[Protocol.HTTP].mirror == mirror
            assert not await bench.apply(want), "what is as wanted is not written again"
        assert bench.cluster.at("HTTPRoute", NAMESPACE, NAME)["spec"] == before

    async def test_without_a_route_and_without_the_gateway_it_waits(self, bench: Bench) -> None:
        bench.cluster.purge("HTTPRoute", NAMESPACE, NAME)
        await bench.world.restart()
        again = Bench(bench.world)
        again.world.gateway.answer = Unknown(message="no answer")
        with pytest.raises(errors.Unavailable, match="no answer"):
            await again.apply(await again.want_route(FLOOR_PPM))


class TestRemove:
    async def test_a_deployment_takes_its_budget_along(self, bench: Bench) -> None:
        facts = next(iter((await bench.observed()).deployments.values()))
        name = naming.deployment(NAME, facts.revision)
        want = Remove(kind="Deployment", name=name, uid=facts.uid, resource_version=facts.resource_version)
        seen = len(bench.cluster.writes)
        await bench.apply(want)
        assert bench.since(seen) == ["delete Deployment"]
        budget = bench.cluster.objects["PodDisruptionBudget", NAMESPACE, name]
        assert [owner["uid"] for owner in budget["metadata"]["ownerReferences"]] == [facts.uid]
        assert not await bench.apply(want), "gone is gone"

    async def test_only_what_was_seen(self, bench: Bench) -> None:
        facts = next(iter((await bench.observed()).deployments.values()))
        name = naming.deployment(NAME, facts.revision)
        want = Remove(kind="Deployment", name=name, uid=facts.uid, resource_version=facts.resource_version)
        bench.cluster.edit("Deployment", NAMESPACE, name, lambda live: live["metadata"].update(annotations={"a": "b"}))
        with pytest.raises(errors.Conflict):
            await bench.apply(want)
        assert ("Deployment", NAMESPACE, name) in bench.cluster.objects
