"""Traces that the machine found once, as short as they can be."""

from __future__ import annotations

import pytest

from tests.machine import people
from tests.machine.checks import check_end
from tests.machine.guarded import ROUTES
from tests.machine.script import ask_for, begin, midway

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


def test_a_missing_slot_does_not_keep_its_traffic() -> None:
    """The route goes to the floor before the slot is made anew, and has no revision to announce for it."""
    bed = midway(BAKING)
    bed.add_operator()
    bed.add_operator()
    people.delete_one(bed, "Service", 0)
    people.lose_status(bed)
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
