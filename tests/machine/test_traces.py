"""Traces that the machine found once, as short as they can be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from modelrelease.domain import naming
from modelrelease.domain.commands import Verb
from modelrelease.domain.observed import FLOOR_PPM, PPM, Slot
from modelrelease.render import candidate_ppm

from tests.fakes.samples import NAME, NAMESPACE
from tests.machine import final, people
from tests.machine.bed import KEY, Bed
from tests.machine.checks import check_end
from tests.machine.guarded import ROUTES
from tests.machine.operators import Ended, Metrics, Operator
from tests.machine.script import Act, Play, ask_for, at_rest, at_step, begin, metrics, midway, order
from tests.machine.wire import Mishap, Trouble

BAKING = 17  # looks into the second version: all traffic is with the candidate


@pytest.mark.parametrize("stable", [100, 0])
def test_a_place_without_any_weight_gets_its_floor_back(stable: int) -> None:
    """A Git tool that writes 100 and 0 takes a backend away, and no weight below the floor can be written back."""
    bed = begin(serving=True)
    bed.add_operator()
    bed.add_operator()
    for kind in ROUTES:
        people.set_weights(bed, kind, stable)
    check_end(bed)


@pytest.mark.parametrize("stable", [100, 0])
def test_a_place_without_any_weight_is_no_obstacle_while_no_pod_is_ready(stable: int) -> None:
    bed = begin(serving=True)
    operator = bed.add_operator()
    bed.roll(ready=0)
    bed.endpoints()
    for kind in ROUTES:
        people.set_weights(bed, kind, stable)
    ask_for("2")(bed)
    for _ in range(3):
        operator.catch_up()
        bed.look(operator)
    assert bed.cluster.all("Job"), "the build does not wait for the route"


@pytest.mark.deep
def test_a_missing_slot_does_not_keep_its_traffic() -> None:
    """The route goes to the floor before the slot is made anew, and has no revision to announce for it."""
    bed = midway(BAKING)
    bed.add_operator()
    bed.add_operator()
    people.delete_one(bed, "Service", 0)
    people.lose_status(bed)
    check_end(bed)


@pytest.mark.parametrize("elsewhere", [None, "3"])
def test_slots_are_mended_before_a_route_has_to_name_them(elsewhere: str | None) -> None:
    bed = begin(serving=True)
    bed.add_operator()
    bed.add_operator()
    for kind in ROUTES:
        people.set_weights(bed, kind, 0)
    people.point_slot(bed, Slot.STABLE, elsewhere and people.revision(elsewhere))
    people.delete_one(bed, "Service", 0)
    bed.settle()
    check_end(bed)


@pytest.mark.parametrize("elsewhere", [None, "2"])
def test_slots_are_mended_whatever_the_routes_say(elsewhere: str | None) -> None:
    """Stable's slot has the traffic of one protocol, by a tool, and the floor of the other."""
    bed = begin(serving=True)
    bed.add_operator()
    operator = bed.add_operator()
    bed.outside.metrics = Metrics.BAD
    ask_for("2")(bed)
    while "rejected" not in bed.status:
        go_on(bed, operator, looks=1)
        bed.wait(1)
    people.set_weights(bed, "HTTPRoute", 0)
    people.point_slot(bed, Slot.STABLE, elsewhere and people.revision(elsewhere))
    bed.settle()
    check_end(bed)


@pytest.mark.parametrize("harm", ["a slot is deleted", "a tool writes stable 100"])
def test_nothing_is_promoted_while_stable_has_the_traffic(harm: str) -> None:
    """The bake ends just when its traffic was taken away: stable's slot must not be re-pointed under load."""
    bed = midway(BAKING)
    bed.add_operator()
    operator = bed.add_operator()
    if harm == "a slot is deleted":
        people.delete_one(bed, "Service", 0)
        operator.catch_up()
        bed.look(operator)
    else:
        for kind in ROUTES:
            people.set_weights(bed, kind, 100)
    bed.settle()
    bed.wait(61)
    check_end(bed)


def test_a_rise_that_comes_late_is_refused_after_an_abort() -> None:
    """A leader's write is on its way while another leader takes the candidate's traffic away."""
    bed = begin(serving=True)
    deposed = bed.add_operator()
    ask_for("2")(bed)
    hold_back(bed, deposed, "HTTPRoute")
    leader = bed.add_operator()
    order(bed, Verb.ABORT, bed.status["candidate"])
    go_on(bed, leader)
    assert "candidate" not in bed.status
    assert bed.arrive(deposed) is Ended.FAILED
    assert bed.cluster.at("HTTPRoute", *KEY)["spec"]["rules"][0]["backendRefs"][1]["weight"] == FLOOR_PPM


def test_a_rise_that_comes_late_is_refused_after_an_edit_of_the_steps() -> None:
    bed = begin(serving=True)
    deposed = bed.add_operator()
    ask_for("2")(bed)
    while bed.status.get("step") != "1/2" or "stepStartedAt" not in bed.status["candidate"]:
        go_on(bed, deposed, looks=1)
    bed.wait(11)
    hold_back(bed, deposed, "HTTPRoute")
    leader = bed.add_operator()
    ask_for("2", rollout__steps=[{"weight": 10}, {"weight": 60}])(bed)
    go_on(bed, leader, looks=2)
    assert bed.status["candidate"]["weight"]["desired"] == 10
    assert bed.arrive(deposed) is Ended.FAILED


@pytest.mark.parametrize("how", ["on its way for long", "from an old cache"])
def test_a_removal_that_comes_late_does_not_take_a_new_attempts_pods(how: str) -> None:
    bed = begin(serving=True)
    deposed = bed.add_operator()
    bed.outside.metrics = Metrics.BAD
    ask_for("2")(bed)
    while "rejected" not in bed.status:
        go_on(bed, deposed, looks=1)
        bed.wait(1)
    bed.wait(31)
    if how == "on its way for long":
        hold_back(bed, deposed, "Deployment")
    leader = bed.add_operator()
    bed.outside.metrics = Metrics.GOOD
    order(bed, Verb.RETRY, bed.status["rejected"])
    go_on(bed, leader)
    assert bed.status["candidate"]["stage"] == "Step"
    assert (bed.arrive(deposed) if deposed.task else bed.look(deposed)) is Ended.FAILED
    assert bed.exists("Deployment", f"{NAME}-{people.revision('2')}")


def test_an_old_cache_writes_no_status() -> None:
    bed, deposed = at_ten_percent()
    leader = bed.add_operator()
    order(bed, Verb.ABORT, bed.status["candidate"])
    go_on(bed, leader)
    told = bed.status
    assert "rejected" in told
    bed.wait(11)
    assert bed.look(deposed) is Ended.FAILED
    assert bed.status == told


def test_what_others_made_under_a_name_of_ours_stays() -> None:
    bed = begin(serving=True)
    operator = bed.add_operator()
    people.delete_one(bed, "Service", 0)
    people.take_name(bed, Slot.CANDIDATE)
    name = f"{NAME}-{Slot.CANDIDATE}"
    before = bed.cluster.at("Service", NAMESPACE, name)
    go_on(bed, operator, looks=3)
    assert bed.cluster.at("Service", NAMESPACE, name) == before
    assert bed.status["waitingFor"]["reason"] == "NameTaken"


def test_a_candidate_that_nobody_answers_for_loses_its_traffic_at_once() -> None:
    bed, operator = at_ten_percent()
    bed.roll(ready=0, revision=people.revision("2"))
    bed.endpoints()
    operator.catch_up()
    bed.look(operator)
    assert bed.status["candidate"]["end"]["reason"] == "CandidateUnavailable"
    for kind in ROUTES:
        assert candidate_ppm(bed.cluster.at(kind, *KEY)) == FLOOR_PPM


def test_all_the_traffic_waits_for_all_the_pods() -> None:
    bed, operator = at_ten_percent()
    bed.roll(ready=1, revision=people.revision("2"))
    bed.endpoints()
    for _ in range(8):
        operator.catch_up()
        bed.look(operator)
        bed.accept(*ROUTES)
        bed.wait(11)
    assert bed.status["waitingFor"]["what"] == "2 ready candidate pods, 1 are"
    assert candidate_ppm(bed.cluster.at("HTTPRoute", *KEY)) == PPM // 2


@pytest.mark.deep
@pytest.mark.parametrize("said", list(Metrics))
def test_on_a_slow_cluster_the_end_is_the_same(said: Metrics) -> None:
    """The operator looks between any two moves of the controllers: nothing is ahead of what it needs."""
    ends = []
    for slow in (False, True):
        play = Play(bed=begin(serving=True), script=(Act(when=at_rest, do=ask_for("2")),), slow=slow)
        play.script = (*play.script, Act(when=at_step(1), do=metrics(said)))
        for _ in play.pauses(looks=500):
            if play.bed.cluster.now > datetime(2026, 11, 1, 12, 5, tzinfo=UTC):
                break
        ends.append(final.children(play.bed.cluster))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("said", [Metrics.NAN, Metrics.ERROR])
def test_no_metrics_do_not_keep_a_person_from_aborting(said: Metrics) -> None:
    bed, operator = at_ten_percent()
    bed.outside.metrics = said
    bed.wait(11)
    order(bed, Verb.ABORT, bed.status["candidate"])
    go_on(bed, operator, looks=4)
    assert bed.status["phase"] == "RolledBack"


@pytest.mark.parametrize("said", [Metrics.NAN, Metrics.ERROR])
def test_no_metrics_do_not_keep_a_person_from_promoting(said: Metrics) -> None:
    bed, operator = at_ten_percent()
    bed.outside.metrics = said
    bed.wait(11)
    order(bed, Verb.PROMOTE, bed.status["candidate"])
    go_on(bed, operator, looks=4)
    assert bed.status["phase"] == "Baking"


@pytest.mark.parametrize("aware", ["of the children", "of nothing"])
def test_children_of_a_release_that_is_gone_are_not_given_to_it(aware: str) -> None:
    """Its children were kept; a process that missed its end would leave them to the garbage collector."""
    bed = begin(serving=True)
    unaware = bed.add_operator()
    kept = set(final.children(bed.cluster))
    ask_for("1", serving__replicas=3)(bed)
    unaware.catch_up()
    people.orphan_and_apply_again(bed)
    for event in unaware.hear():
        if aware == "of the children" and event.kind != naming.KIND:
            unaware.deliver(event)
    bed.look(unaware)
    bed.settle()
    assert set(final.children(bed.cluster)) == kept


def at_ten_percent() -> tuple[Bed, Operator]:
    """Return a bed on which version 2 has its first share of the traffic."""
    bed = begin(serving=True)
    operator = bed.add_operator()
    ask_for("2")(bed)
    while not at_step(0)(bed):
        go_on(bed, operator, looks=1)
    return bed, operator


def go_on(bed: Bed, operator: Operator, *, looks: int = 10) -> None:
    """Let a process look at the release on a cluster that works."""
    for _ in range(looks):
        bed.settle()
        operator.catch_up()
        bed.look(operator)


def hold_back(bed: Bed, operator: Operator, kind: str) -> None:
    """Go on until the process writes to a kind, and keep this request on its way."""
    for _ in range(10):
        bed.settle()
        operator.catch_up()
        trial = bed.branch()
        trial.look(trial.add_operator())
        kinds = [write.kind for write in trial.cluster.writes]
        if kind in kinds:
            assert bed.look(operator, Mishap(at=kinds.index(kind), trouble=Trouble.DELAY)) is Ended.HELD
            return
        bed.look(operator)
    raise AssertionError(f"nothing is written to a {kind}")


@pytest.mark.parametrize("serving", [True, False])
def test_a_retry_builds_again_what_the_store_has_spoilt(serving: bool) -> None:
    """The pods that could not start go at once, whoever selects them: they would tell of the old damage."""
    bed = begin(serving=serving)
    operator = bed.add_operator()
    bed.add_operator()
    ask_for("2")(bed)
    while (bed.status.get("candidate") or {}).get("stage") != "Deploy":
        bed.finish_jobs()
        operator.catch_up()
        bed.look(operator)
    built, bed.spoilt = len(bed.cluster.all("Job")), True
    while "rejected" not in bed.status:
        go_on(bed, operator, looks=1)
    assert bed.status["rejected"]["reason"] == "ArtifactCorrupt"
    order(bed, Verb.RETRY, bed.status["rejected"])
    check_end(bed)
    assert bed.status["stable"]["revision"] == people.revision("2")
    assert len(bed.cluster.all("Job")) == built + 1
