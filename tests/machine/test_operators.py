"""Every order of events over the real runtime: two processes, their caches, the API server's moods, people.

Each write is checked when the API server takes it (`guard`), the cluster after each rule. In
the end everybody is left in peace, and the release must come to rest where its spec says.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from modelrelease.domain import commands, naming
from modelrelease.domain.commands import Verb
from modelrelease.domain.observed import GatewayFacts, Slot, Unknown

from tests.machine import people
from tests.machine.bed import Bed
from tests.machine.checks import check_cluster, check_end, check_look
from tests.machine.guarded import ROUTES
from tests.machine.operators import Ended, Metrics, Operator
from tests.machine.script import midway
from tests.machine.wire import Mishap, Trouble

DEEP = bool(os.environ.get("MODELRELEASE_DEEP"))

VERSIONS = st.sampled_from(["1", "2", "3"])
SPECS = st.fixed_dictionaries(
    {
        "version": VERSIONS,
        "weights": st.sampled_from([(10, 50), (5,), (20, 30, 60), ()]),
        "pause": st.sampled_from([None, None, {"untilApproved": True}, {"duration": "45s"}]),
        "replicas": st.sampled_from([2, 2, 3]),
        "suspend": st.sampled_from([False, False, False, True]),
        "protocols": st.sampled_from([2, 2, 2, 1]),
        "shadow": st.sampled_from([None, None, {"duration": "20s"}, {"percent": 50, "duration": "0s"}]),
        "control": st.sampled_from([{}, {}, {"holdback": 5}, {"holdback": 0}, {"holdback": 0, "mirror": 50}]),
    }
)
MISHAPS = st.none() | st.builds(Mishap, at=st.integers(0, 6), trouble=st.sampled_from(list(Trouble)))
DELETED = ["Service", "Deployment", "Job", "PodDisruptionBudget", *ROUTES]
WHO = st.integers(0, 1)
SLOTS = st.sampled_from([Slot.STABLE, Slot.CANDIDATE, Slot.PREVIEW])


class Operators(RuleBasedStateMachine):
    """One release under everything that can happen to it."""

    bed: Bed

    @initialize(moment=st.integers(0, 40))
    def begin(self, moment: int) -> None:
        """Begin anywhere on the way of the second version, with two processes."""
        self.bed = midway(moment)
        self.bed.add_operator()
        self.bed.add_operator()
        people.plant_foreign_things(self.bed)
        self.orders: dict[str, str] = {}
        self.tokens = 0
        self.lossy = False

    def operator(self, who: int) -> Operator:
        return self.bed.operators[who]

    # -- the operators --------------------------------------------------------------------

    def _look(self, operator: Operator, mishap: Mishap | None, *, caught_up: bool) -> None:
        if operator.task is None:
            ended = self.bed.look(operator, mishap)
            event(f"a look is {ended}")
            if ended is Ended.DONE and caught_up:
                check_look(self.bed, operator)
            stage = (
                (self.bed.status.get("candidate") or {}).get("stage", "rest") if self.bed.exists(naming.KIND) else "-"
            )
            event(f"in {stage}")

    @rule(who=WHO, mishap=MISHAPS)
    def look(self, who: int, mishap: Mishap | None) -> None:
        self.operator(who).catch_up()
        self._look(self.operator(who), mishap, caught_up=not self.lossy)

    @rule(who=WHO, mishap=MISHAPS)
    def look_at_an_old_cache(self, who: int, mishap: Mishap | None) -> None:
        self._look(self.operator(who), mishap, caught_up=False)

    @rule(who=WHO, dies=st.booleans())
    def the_delayed_request_arrives(self, who: int, dies: bool) -> None:
        operator = self.operator(who)
        if operator.task is not None:
            self.bed.arrive(operator, dies=dies)

    @rule(who=WHO)
    def restart(self, who: int) -> None:
        self.bed.restart(self.operator(who))

    @rule(who=WHO, trouble=st.sampled_from([Trouble.TOO_MANY, Trouble.UNAVAILABLE]))
    def the_next_read_fails(self, who: int, trouble: Trouble) -> None:
        self.operator(who).wire.read_trouble = trouble

    @rule(rounds=st.integers(1, 12), seconds=st.sampled_from([0, 5, 11, 61]))
    def go_on_well(self, rounds: int, seconds: int) -> None:
        """Nothing special for a while: the way into the later stages."""
        for _ in range(rounds):
            self.bed.settle()
            self.look(0, None)
            self.bed.wait(seconds)

    # -- their watches --------------------------------------------------------------------

    @rule(who=WHO, number=st.integers(0, 20))
    def an_event_comes_out_of_turn(self, who: int, number: int) -> None:
        operator = self.operator(who)
        if pending := operator.hear():
            operator.deliver(pending.pop(number % len(pending)))

    @rule(who=WHO, count=st.integers(1, 6))
    def events_are_lost(self, who: int, count: int) -> None:
        del self.operator(who).hear()[:count]
        self.lossy = True

    @rule(who=WHO, number=st.integers(0, 9))
    def an_old_event_comes_again(self, who: int, number: int) -> None:
        operator = self.operator(who)
        if operator.delivered:
            operator.deliver(operator.delivered[number % len(operator.delivered)])

    @rule(who=WHO)
    def resync(self, who: int) -> None:
        self.bed.resync(self.operator(who))

    # -- the cluster ----------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        self.bed.settle()

    @rule(accuracy=st.sampled_from([0.97, 0.97, 0.5]))
    def builds_end(self, accuracy: float) -> None:
        self.bed.finish_jobs(accuracy=accuracy)

    @rule()
    def builds_fail(self) -> None:
        self.bed.fail_jobs()

    @rule(ready=st.sampled_from([None, None, 1, 0]), follow=st.booleans())
    def pods_change(self, ready: int | None, follow: bool) -> None:
        self.bed.roll(ready=ready)
        if follow:
            self.bed.endpoints()

    @rule()
    def the_store_is_spoilt(self) -> None:
        self.bed.spoilt = True

    @rule(kind=st.sampled_from(ROUTES), refused=st.sampled_from([None, None, "no such listener"]))
    def the_gateway_answers(self, kind: str, refused: str | None) -> None:
        self.bed.accept(kind, refused=refused)

    @rule(
        metrics=st.sampled_from(list(Metrics)),
        probe=st.sampled_from([True, True, False]),
        gateway=st.sampled_from(
            [GatewayFacts(tells_slots_apart=True, mirrors=True)] * 3 + [Unknown(message="timeout")]
        ),
    )
    def the_outside_changes(self, metrics: Metrics, probe: bool, gateway: GatewayFacts | Unknown) -> None:
        self.bed.outside.metrics, self.bed.outside.probe, self.bed.outside.gateway = metrics, probe, gateway

    @rule(seconds=st.sampled_from([1, 11, 31, 61, 4000]))
    def wait(self, seconds: int) -> None:
        self.bed.wait(seconds)

    # -- people ---------------------------------------------------------------------------

    @rule(wish=SPECS)
    def edit(self, wish: dict[str, Any]) -> None:
        self.bed.edit(people.spec(**wish))

    @rule(verb=st.sampled_from(list(Verb)))
    def order(self, verb: Verb) -> None:
        subject = self.bed.status.get("candidate") or self.bed.status.get("rejected")
        if subject:
            self.tokens += 1
            value = commands.format_command(
                revision=subject["revision"], attempt=subject["attempt"], step=None, token=str(self.tokens)
            )
            self.orders[commands.annotation(verb)] = value
            self.bed.annotate(commands.annotation(verb), value)

    @rule(verb=st.sampled_from(list(Verb)), vanishes=st.booleans())
    def an_order_vanishes_or_comes_back(self, verb: Verb, vanishes: bool) -> None:
        name = commands.annotation(verb)
        self.bed.annotate(name, None if vanishes else self.orders.get(name))

    @rule(kind=st.sampled_from(ROUTES), stable=st.sampled_from([100, 50, 0]))
    def somebody_sets_weights(self, kind: str, stable: int) -> None:
        people.set_weights(self.bed, kind, stable)

    @rule(slot=SLOTS, version=st.none() | VERSIONS)
    def somebody_points_a_slot_elsewhere(self, slot: Slot, version: str | None) -> None:
        people.point_slot(self.bed, slot, version and people.revision(version))

    @rule(replicas=st.sampled_from([0, 1, 5]))
    def somebody_scales(self, replicas: int) -> None:
        people.scale(self.bed, replicas)

    @rule(
        kind=st.sampled_from(["Service", "Deployment", "Job", "PodDisruptionBudget", *ROUTES]), number=st.integers(0, 2)
    )
    def somebody_deletes(self, kind: str, number: int) -> None:
        people.delete_one(self.bed, kind, number)

    @rule(slot=SLOTS)
    def somebody_takes_the_name_of_a_slot(self, slot: Slot) -> None:
        people.take_name(self.bed, slot)

    @rule()
    def the_status_is_lost(self) -> None:
        people.lose_status(self.bed)

    @rule()
    def deleted_without_its_children_and_applied_again(self) -> None:
        people.orphan_and_apply_again(self.bed)

    # -- what holds at every moment -------------------------------------------------------

    @invariant()
    def the_cluster_is_sound(self) -> None:
        if hasattr(self, "bed"):
            check_cluster(self.bed)

    def teardown(self) -> None:
        if hasattr(self, "bed"):
            check_end(self.bed)


Operators.TestCase.settings = settings(
    max_examples=2000 if DEEP else 20,
    stateful_step_count=40 if DEEP else 25,
    deadline=None,
    report_multiple_bugs=False,
    # To make a failure as short as it can be takes minutes.
    phases=tuple(phase for phase in Phase if DEEP or phase is not Phase.shrink),
    derandomize=not DEEP,
    suppress_health_check=list(HealthCheck),
)
TestOperators = Operators.TestCase
