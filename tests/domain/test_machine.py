"""Every order of events: edits, faults, crashes, stale reads, people. The world checks each write.

At the end of each run the world is left in peace, and must come to rest where the spec says,
whatever happened before (design, section 5, points 1 to 7).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from modelrelease.domain import commands, naming
from modelrelease.domain.commands import Verb
from modelrelease.domain.observed import FLOOR_PPM, PPM, Observed, Slot
from modelrelease.domain.policy import Bake, Shadow
from modelrelease.domain.status import Stage

from tests.domain.world import World, a_spec

# Set MODELRELEASE_DEEP=1 for a long walk.
DEPTH = 600 if os.environ.get("MODELRELEASE_DEEP") else 25

VERSIONS = st.sampled_from(["1", "2", "3"])
LADDERS = st.sampled_from([(5, 25), (10,), (1, 2, 50), (30, 60), ()])
SHADOWS = st.sampled_from([None, None, Shadow(duration=120), Shadow(percent=30, duration=0)])
BAKES = st.sampled_from([Bake(duration=120), Bake(duration=60, holdback=5), Bake(duration=60, holdback=0, mirror=50)])
QUALITIES = st.sampled_from(["good", "bad", "worse", "quiet", "astray", "error"])


class Releases(RuleBasedStateMachine):
    """A release under everything that can happen to it."""

    world: World
    snapshot: Observed | None = None
    retreat_ppm: int = PPM

    @initialize(fresh=st.booleans(), rounds=st.integers(min_value=0, max_value=14))
    def begin(self, fresh: bool, rounds: int) -> None:
        """Begin anywhere in a release: with nothing, or some rounds into the second version."""
        self.world = World(spec=a_spec("1"))
        self.tokens = 0
        if not fresh:
            self.world.settle()
            self.world.edit(a_spec("2"))
            self._rounds(rounds)

    def _rounds(self, rounds: int) -> None:
        for _ in range(rounds):
            self.world.environment()
            plan = self.world.reconcile()
            if (candidate := plan.status.candidate) is not None:
                event(f"stage {candidate.stage}")
            self.world.advance(61)

    # The operator

    @rule(crash=st.none() | st.integers(min_value=0, max_value=8))
    def reconcile(self, crash: int | None) -> None:
        self.world.reconcile(crash_after=crash)

    @rule()
    def remember(self) -> None:
        self.snapshot = self.world.observe()

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def act_on_a_stale_read(self) -> None:
        """A deposed leader, or a cache behind its time: its writes carry the versions it saw."""
        assert self.snapshot is not None
        self.world.reconcile(observed=self.snapshot)

    @rule(rounds=st.integers(min_value=1, max_value=12))
    def run(self, rounds: int) -> None:
        """Nothing special for a while: the way into the later stages."""
        self._rounds(rounds)

    # The world, each part at its own pace

    @rule(
        step=st.sampled_from(
            ["finish_jobs", "fail_jobs", "start_pods", "fill_endpoints", "accept_routes", "environment", "environment"]
        )
    )
    def happen(self, step: str) -> None:
        getattr(self.world, step)()

    @rule(seconds=st.sampled_from([1, 20, 61, 130, 4000]))
    def wait(self, seconds: int) -> None:
        self.world.advance(seconds)

    @rule(version=VERSIONS, quality=QUALITIES)
    def behave(self, version: str, quality: str) -> None:
        self.world.quality[naming.revision(a_spec(version))] = quality

    @rule(version=VERSIONS, wrong=st.booleans(), saturated=st.booleans())
    def answer(self, version: str, wrong: bool, saturated: bool) -> None:
        """Golden requests go wrong or right again, copies are too many or not."""
        self.world.golden[naming.revision(a_spec(version))] = "wrong" if wrong else "right"
        self.world.saturated = saturated

    @rule(version=VERSIONS)
    def spoil(self, version: str) -> None:
        """The store loses what was built: pods that run have a copy of their own, new ones can't start."""
        self.world.damaged.add(naming.artifact_key(a_spec(version)))

    @rule()
    def forget(self) -> None:
        """Another process takes over: it has looked at nothing yet."""
        self.world.checked = None

    @rule(version=VERSIONS)
    def lose_pods(self, version: str) -> None:
        revision = naming.revision(a_spec(version))
        stable = self.world.status.stable
        if stable is None or stable.revision != revision:
            self.world.kill_pods(revision)

    # People

    @rule(version=VERSIONS, ladder=LADDERS, shadow=SHADOWS, bake=BAKES, suspend=st.booleans())
    def edit(self, version: str, ladder: tuple[int, ...], shadow: Shadow | None, bake: Bake, suspend: bool) -> None:
        self.world.edit(replace(a_spec(version, steps=ladder, shadow=shadow, bake=bake), suspend=suspend))

    @rule(verb=st.sampled_from(list(Verb)))
    def order(self, verb: Verb) -> None:
        subject: Any = self.world.status.candidate or self.world.status.rejected
        if subject is not None:
            self.tokens += 1
            value = commands.format_command(
                revision=subject.revision, attempt=subject.attempt, step=None, token=str(self.tokens)
            )
            self.world.annotations[commands.annotation(verb)] = value
            self.world.release_rv += 1

    @rule()
    def lose_status(self) -> None:
        self.world.status_json = {}
        self.world.release_rv += 1

    # What holds at every moment

    @invariant()
    def traffic_has_a_place_to_go(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        for route in world.routes.values():
            assert route.ppm is None or FLOOR_PPM <= route.ppm <= PPM - FLOOR_PPM
            if route.accepted_ppm is None:
                continue
            for slot, share in ((Slot.STABLE, PPM - route.accepted_ppm), (Slot.CANDIDATE, route.accepted_ppm)):
                if share > FLOOR_PPM:
                    assert world.slots[slot].revision in world.deployments, f"{slot} has {share} ppm and no pods"

    @invariant()
    def a_retreat_only_goes_down(self) -> None:
        if not hasattr(self, "world"):
            return
        candidate = self.world.status.candidate
        weights = [route.ppm or 0 for route in self.world.routes.values()]
        if candidate is None or candidate.stage is not Stage.RETREAT or not weights:
            self.retreat_ppm = PPM
            return
        assert max(weights) <= self.retreat_ppm
        self.retreat_ppm = max(weights)

    def teardown(self) -> None:
        """Left in peace, the release comes to rest: the spec's revision serves, or it was rejected."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.quality.clear()
        world.damaged.clear()
        world.golden.clear()
        world.saturated = False
        world.edit(replace(world.spec, suspend=False))
        world.settle(rounds=600)
        status, target = world.status, naming.revision(world.spec)
        assert status.candidate is None
        assert (status.stable and status.stable.revision == target) or (
            status.rejected and status.rejected.revision == target
        )
        if status.stable:
            assert {facts.revision for facts in world.slots.values()} == {status.stable.revision}
            assert set(world.deployments) == {status.stable.revision}
            assert all(route.ppm == FLOOR_PPM and route.accepted for route in world.routes.values())
            assert all(route.mirror is None for route in world.routes.values())


Releases.TestCase.settings = settings(
    max_examples=DEPTH, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestReleases = Releases.TestCase
