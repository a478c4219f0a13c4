"""The condition Ready tells why pods of stable are missing: nobody watches them as a candidate's are watched."""

from __future__ import annotations

from dataclasses import replace

from modelrelease.domain.problem import Problem
from modelrelease.domain.status import Condition

from tests.domain.test_decide import released, rev
from tests.domain.world import World

CORRUPT = Problem(reason="ArtifactCorrupt", message="model.onnx was changed: restore it", fatal=True)
GONE = Problem(reason="ArtifactMissing", message="there is none: restore it")


def ready(world: World) -> Condition:
    return next(condition for condition in world.status.conditions if condition.type == "Ready")


def trouble(world: World, problem: Problem | None, *, left: int) -> None:
    """Leave that many of stable's pods; the others have this problem."""
    revision = rev("1")
    facts = world.deployments[revision]
    world.pods[revision] = left
    world.deployments[revision] = replace(facts, ready=left, settled=problem is None, problem=problem)
    world.fill_endpoints()
    world.reconcile()


def test_a_pod_of_stable_that_can_not_start_is_told_while_the_others_serve() -> None:
    world = released("1")
    trouble(world, CORRUPT, left=1)
    said = ready(world)
    assert (said.status, said.reason) == ("True", "Degraded")
    assert said.message == "version 1 serves with 1 of 2 pods (ArtifactCorrupt): model.onnx was changed: restore it"
    assert world.status.stable and world.status.candidate is None, "traffic has nowhere better to go"
    before = world.status_writes
    trouble(world, replace(CORRUPT, message="model.onnx was changed: restore it (restarted twice)"), left=1)
    assert world.status_writes == before, "details are no reason to write"
    trouble(world, GONE, left=1)
    assert ready(world).message == "version 1 serves with 1 of 2 pods (ArtifactMissing): there is none: restore it"
    trouble(world, None, left=2)
    assert (ready(world).reason, ready(world).message) == ("Serving", "version 1 serves")


def test_when_no_pod_of_stable_is_left_the_cause_is_told_also_where_it_shows_later_or_changes() -> None:
    world = released("1")
    world.kill_pods(rev("1"))
    world.reconcile()
    assert (ready(world).reason, ready(world).message) == (
        "StableUnavailable",
        "version 1 has no ready pod behind its slot",
    )
    for problem in (CORRUPT, GONE):
        trouble(world, problem, left=0)
        assert ready(world).status == "False"
        assert (
            ready(world).message == f"version 1 has no ready pod behind its slot ({problem.reason}): {problem.message}"
        )
