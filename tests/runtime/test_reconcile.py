"""A release from its first apply to its promotion, on a cluster in memory."""

from __future__ import annotations

from modelrelease.domain import naming
from tests.fakes.samples import NAME, NAMESPACE, release, set_version
from tests.fakes.world import World

KEY = (NAMESPACE, NAME)


async def test_first_release_serves() -> None:
    world = World()
    world.cluster.create(release())
    await world.run(KEY, seconds=30)
    status = world.status(KEY)
    print(status)
    for w in world.cluster.writes: print(w)
    assert status["stable"]["version"] == "1"
    assert status["phase"] == "Ready"
