"""Writing a plan: the order, what is not written, what is refused, what belongs to others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from modelrelease.adapters import errors
from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming
from modelrelease.domain.observed import FLOOR_PPM, Protocol, Slot
from modelrelease.domain.plan import Announce, Plan, WantDeployment, WantSlot

from tests.fakes import faults
from tests.fakes.bench import KEY, STABLE, Bench
from tests.fakes.samples import NAME, NAMESPACE, release
from tests.fakes.world import World


@pytest.fixture
async def bench() -> Bench:
    return await Bench.ready()


class TestOrder:
    async def test_status_then_wants_then_events(self, bench: Bench) -> None:
        seen = len(bench.cluster.writes)
        told = Announce(type="Normal", reason="Told", message="m")
        status = replace((await bench.observed()).status, phase="Other")
        await bench.apply(await bench.want_slot("b"), status=status, announce=(told,))
        assert bench.since(seen) == ["status ModelRelease", "apply Service", "event Event"]

    async def test_a_status_that_cannot_be_written_stops_everything(self, bench: Bench) -> None:
        status = replace((await bench.observed()).status, phase="Other")
        want = await bench.want_slot("b")
        bench.world.deliver()
        bench.cluster.edit(naming.KIND, *KEY, lambda live: live["metadata"].update(annotations={"a": "b"}))
        live = bench.world.store.release(KEY)
        assert live is not None
        observed = await bench.world.reconciler.observer.observe(
            live, now=bench.cluster.now, checked=None, write_problem=None
        )
        seen = len(bench.cluster.writes)
        with pytest.raises(errors.Conflict):
            await bench.applier.apply(live, observed, Plan(status=status, wants=(want,)), now=bench.cluster.now)
        assert bench.since(seen) == []
        again = bench.world.store.release(KEY)
        assert again is not None
        assert again["metadata"]["annotations"] == {"a": "b"}, "the next decision rests on what is"

    async def test_the_first_failure_ends_the_pass_but_events_are_told(self, bench: Bench) -> None:
        wants = (await bench.want_slot("b"), await bench.want_slot("b", Slot.PREVIEW))
        bench.cluster.faults.writes[bench.cluster.faults.writes_seen] = faults.unavailable()
        seen = len(bench.cluster.writes)
        with pytest.raises(errors.Unavailable):
            await bench.apply(*wants, announce=(Announce(type="Normal", reason="Told", message="m"),))
        assert bench.since(seen) == ["event Event"]

    @pytest.mark.parametrize("fault", [faults.unavailable(), faults.forbidden()], ids=["500", "403"])
    async def test_one_routes_failure_does_not_keep_traffic_on_the_other(
        self, bench: Bench, fault: faults.Fault
    ) -> None:
        await bench.apply(await bench.want_route(500_000), await bench.want_route(500_000, Protocol.GRPC))
        wants = (await bench.want_route(FLOOR_PPM), await bench.want_route(FLOOR_PPM, Protocol.GRPC))
        after = await bench.want_slot("b", Slot.CANDIDATE)
        bench.cluster.faults.writes[bench.cluster.faults.writes_seen] = fault
        seen = len(bench.cluster.writes)
        try:
            await bench.apply(*wants, after)
        except errors.Unavailable:
            assert not bench.problem
        else:
            assert bench.problem == "Forbidden"
        assert bench.since(seen) == ["apply GRPCRoute"]

    async def test_an_event_that_is_refused_is_no_failure(self, bench: Bench) -> None:
        bench.cluster.faults.writes[bench.cluster.faults.writes_seen] = faults.forbidden()
        await bench.apply(announce=(Announce(type="Normal", reason="Told", message="m"),))


class TestWriting:
    async def test_what_is_as_wanted_is_not_written(self, bench: Bench) -> None:
        observed = await bench.observed()
        assert observed.status.stable is not None
        rev = observed.status.stable.revision
        seen = len(bench.cluster.writes)
        wrote = await bench.apply(WantDeployment(revision=rev, replicas=2), await bench.want_slot(rev))
        assert (wrote, bench.since(seen)) == (False, [])

    async def test_drift_is_repaired(self, bench: Bench) -> None:
        observed = await bench.observed()
        assert observed.status.stable is not None
        rev = observed.status.stable.revision
        name = naming.deployment(NAME, rev)
        bench.cluster.edit("Deployment", NAMESPACE, name, lambda live: live["spec"].update(replicas=7))
        assert await bench.apply(WantDeployment(revision=rev, replicas=2))
        assert bench.cluster.at("Deployment", NAMESPACE, name)["spec"]["replicas"] == 2

    async def test_somebody_who_insists_gets_one_write_not_a_war(self, bench: Bench) -> None:
        """An admission webhook that changes each write back."""
        wanted = await bench.want_slot("b")
        real = bench.cluster.apply

        async def mutated(manifest: Manifest, **options: object) -> Manifest:
            await real(manifest, **options)  # type: ignore[arg-type] # passed on
            bench.cluster.edit("Service", NAMESPACE, STABLE, lambda live: live["spec"]["selector"].update(x="y"))
            return bench.cluster.at("Service", NAMESPACE, STABLE)

        bench.cluster.apply = mutated  # type: ignore[method-assign] # the webhook
        assert await bench.apply(wanted)
        seen = len(bench.cluster.writes)
        for _ in range(3):
            assert not await bench.apply(await bench.want_slot("b"))
        assert bench.since(seen) == []
        bench.cluster.edit("Service", NAMESPACE, STABLE, lambda live: live["spec"]["selector"].update(x="z"))
        assert await bench.apply(await bench.want_slot("b")), "a new state is a new try"

    async def test_slot_and_route_carry_what_was_decided_on(self, bench: Bench) -> None:
        slot, route = await bench.want_slot("b"), await bench.want_route(500_000)
        for kind, name in (("Service", STABLE), ("HTTPRoute", NAME)):
            bench.cluster.edit(kind, NAMESPACE, name, lambda live: live["metadata"].update(annotations={"by": "x"}))
        for want in (slot, route):
            with pytest.raises(errors.Conflict):
                await bench.apply(want)
        assert bench.slot()["spec"]["selector"][naming.LABEL_REVISION] != "b"

    async def test_an_object_that_was_deleted_meanwhile_is_not_made_anew(self, bench: Bench) -> None:
        want = await bench.want_route(500_000)
        observed = await bench.observed()
        bench.cluster.purge("HTTPRoute", NAMESPACE, NAME)
        live = bench.world.store.release(KEY)
        assert live is not None
        with pytest.raises(errors.Conflict):
            await bench.applier.apply(
                live, observed, Plan(status=observed.status, wants=(want,)), now=bench.cluster.now
            )
        assert ("HTTPRoute", NAMESPACE, NAME) not in bench.cluster.objects
        assert bench.world.store.get("HTTPRoute", NAMESPACE, NAME) is None


class TestOwnership:
    async def test_a_name_that_is_taken_is_told_and_left_alone(self, bench: Bench) -> None:
        bench.cluster.purge("Service", NAMESPACE, STABLE)
        bench.world.deliver()
        theirs = {"spec": {"selector": {"app": "theirs"}}, "metadata": {"name": STABLE, "namespace": NAMESPACE}}
        bench.cluster.create({"apiVersion": "v1", "kind": "Service", **theirs})
        await bench.apply(WantSlot(slot=Slot.STABLE, revision="b", resource_version=None))
        assert bench.problem == "NameTaken"
        assert bench.slot()["spec"] == {"selector": {"app": "theirs"}}

    async def test_ours_that_the_cache_has_not_seen_is_decided_anew(self, bench: Bench) -> None:
        known = bench.world.store.get("Service", NAMESPACE, STABLE)
        assert known is not None
        observed = await bench.observed()
        bench.world.store._objects.pop(("Service", NAMESPACE, STABLE))
        live = bench.world.store.release(KEY)
        assert live is not None
        want = WantSlot(slot=Slot.STABLE, revision="b", resource_version=None)
        with pytest.raises(errors.Conflict, match="decided anew"):
            await bench.applier.apply(
                live, observed, Plan(status=observed.status, wants=(want,)), now=bench.cluster.now
            )
        assert bench.slot() == known
        assert bench.world.store.get("Service", NAMESPACE, STABLE) == known

    async def test_a_lost_label_does_not_make_it_foreign(self, bench: Bench) -> None:
        """A watch by label tells of a deletion then; the owner reference still says whose it is."""
        bench.cluster.edit("Service", NAMESPACE, STABLE, lambda live: live["metadata"].update(labels={}))
        bench.world.deliver()
        bench.world.store.remove("Service", bench.slot())
        want = WantSlot(slot=Slot.STABLE, revision="b", resource_version=None)
        with pytest.raises(errors.Conflict):
            await bench.apply(want)
        await bench.world.run(KEY, seconds=3)
        assert bench.slot()["metadata"]["labels"][naming.LABEL_RELEASE] == NAME


class TestRefusals:
    async def test_a_quota_is_waited_out_and_tried_again_ever_more_rarely(self, bench: Bench) -> None:
        bench.cluster.exhausted_kinds = {"Service"}
        bench.cluster.purge("Service", NAMESPACE, STABLE)
        want = WantSlot(slot=Slot.STABLE, revision="b", resource_version=None)
        pauses = []
        for _ in range(6):
            await bench.apply(want)
            held = bench.applier.refusals.of(KEY)
            assert held is not None
            assert held.problem.waiting
            assert "exceeded quota: team" in held.problem.message
            pauses.append((held.retry_at - bench.cluster.now).total_seconds())
            tried = bench.cluster.faults.writes_seen
            await bench.apply(want)
            assert bench.cluster.faults.writes_seen == tried, "not before its time"
            bench.cluster.now = held.retry_at
        assert pauses == [5, 10, 20, 40, 60, 60]
        bench.cluster.exhausted_kinds = set()
        assert await bench.apply(want)
        assert bench.problem == ""

    async def test_two_refused_routes_are_each_tried_at_their_time(self, bench: Bench) -> None:
        wants = [await bench.want_route(500_000, protocol) for protocol in Protocol]
        first = bench.cluster.faults.writes_seen
        bench.cluster.faults.writes = {number: faults.forbidden() for number in range(first, first + 4)}
        for _ in range(2):
            await bench.apply(*wants)
            tried = bench.cluster.faults.writes_seen
            await bench.apply(*wants)
            assert bench.cluster.faults.writes_seen == tried, "not before its time"
            retry_at = bench.applier.refusals.retry_at(KEY)
            assert retry_at is not None
            bench.cluster.now = retry_at
        assert await bench.apply(*wants)
        assert bench.problem == ""

    async def test_another_write_does_not_wait_for_it(self, bench: Bench) -> None:
        bench.cluster.exhausted_kinds = {"Service"}
        bench.cluster.purge("Service", NAMESPACE, STABLE)
        await bench.apply(WantSlot(slot=Slot.STABLE, revision="b", resource_version=None))
        assert await bench.apply(await bench.want_slot("c", Slot.CANDIDATE))

    async def test_it_reaches_the_status_and_leaves_it_again(self) -> None:
        world = World()
        world.cluster.create(release())
        world.cluster.exhausted_kinds = {"Job"}
        await world.run(KEY, seconds=8)
        waiting = world.status(KEY)["waitingFor"]
        assert waiting["reason"] == "QuotaExceeded"
        assert waiting["what"] == "room in the ResourceQuota"
        world.cluster.exhausted_kinds = set()
        world.cluster.now += timedelta(seconds=60)
        await world.run(KEY, seconds=10)
        assert world.status(KEY)["phase"] == "Ready"

    async def test_without_the_gateway_api(self, bench: Bench) -> None:
        bench.cluster.purge("HTTPRoute", NAMESPACE, NAME)
        bench.world.deliver()
        bench.cluster.absent_kinds = {"HTTPRoute"}
        await bench.apply(await bench.want_route(FLOOR_PPM))
        assert bench.problem == "GatewayAPINotInstalled"
