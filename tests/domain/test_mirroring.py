"""A gateway that refuses a route with copies fails every request of it: the copies go, at once and for good."""

from __future__ import annotations

from dataclasses import replace

import pytest
from modelrelease.domain.decide import decide
from modelrelease.domain.observed import FLOOR_PPM, Observed, Protocol
from modelrelease.domain.plan import WantRoute
from modelrelease.domain.policy import Shadow
from modelrelease.domain.problem import Problem
from modelrelease.domain.status import Stage

from tests.domain.test_exposure import asked, candidate, in_stage, routes, until
from tests.domain.world import World, a_spec

REFUSED = Problem(
    reason="RouteNotAccepted", message="the gateway does not take the route (BackendNotFound): no Service"
)


def refused(world: World, protocol: Protocol) -> Observed:
    """Return what is seen when the gateway refuses one of the routes."""
    seen = world.observe()
    route = replace(seen.routes[protocol], accepted=False, problem=REFUSED)
    return replace(seen, routes={**seen.routes, protocol: route})


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.STEP])
def test_copies_that_a_gateway_refuses_are_taken_off_both_routes(protocol: Protocol, stage: Stage) -> None:
    world = asked(a_spec("2", shadow=Shadow(percent=50, duration=60)))
    until(world, in_stage(stage))
    until(world, lambda _: all(mirror is not None for _, mirror in routes(world)))
    before = [ppm for ppm, _ in routes(world)]
    seen = refused(world, protocol)
    plan = decide(seen, world.now)
    assert candidate(plan.status).mirror_stopped == REFUSED.message
    wanted = [want for want in plan.wants if isinstance(want, WantRoute)]
    assert {(want.protocol, want.mirror) for want in wanted} == {(one, None) for one in Protocol}
    assert [want.candidate_ppm for want in wanted] == before, "no weight moves for it"
    world.reconcile(observed=seen)
    for _ in range(5):
        world.environment()
        world.reconcile()
        world.advance(20)
        assert all(mirror is None for _, mirror in routes(world)), "it is not tried again"
    world.settle()
    assert world.status.stable is not None and world.status.stable.version == "2"


def test_a_route_without_copies_that_is_refused_keeps_the_shadow() -> None:
    world = asked(a_spec("2", shadow=Shadow()))
    until(world, in_stage(Stage.SHADOW), seconds=0)
    seen = world.observe()
    bare = {
        protocol: replace(route, mirror=None, candidate_ppm=FLOOR_PPM, accepted=False, problem=REFUSED)
        for protocol, route in seen.routes.items()
    }
    assert candidate(decide(replace(seen, routes=bare), world.now).status).mirror_stopped is None
