"""The operator dies before and after each of its mutating calls, and ends where it would have ended.

A scenario is played once without a crash. At each call the cluster is branched off: there
the process is dead, another one starts with an empty memory, and the play goes on until it is
back where the first one was, or at its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.machine import final
from tests.machine.operators import Metrics
from tests.machine.script import (
    Act,
    Play,
    a_spec,
    approve,
    ask_for,
    at_rest,
    at_step,
    begin,
    in_stage,
    metrics,
    waiting_for,
)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A script, and where it begins: with nothing, or while version 1 serves.

    Crashes come only after some acts, where what is before them is in another scenario.
    """

    script: tuple[Act, ...]
    serving: bool = True
    protocols: int = 2
    after: int = 0


PAUSED = [{"weight": 10, "pause": {"duration": "45s"}}, {"weight": 50, "pause": {"untilApproved": True}}]
COPIED = a_spec(
    "2", protocols=1, rollout__shadow={"duration": "20s"}, rollout__bake={"duration": "1m", "holdback": 0, "mirror": 50}
)
COPIED["rollout"].pop("steps")
SCENARIOS = {
    "the first release": Scenario(serving=False, script=()),
    "promoted": Scenario(script=(Act(when=at_rest, do=ask_for("2")),)),
    "in the shadow, on a planned ladder, with a mirror as the control": Scenario(
        protocols=1,
        after=1,
        script=(Act(when=at_rest, do=lambda bed: bed.edit(COPIED)),),
    ),
    "rolled back": Scenario(
        after=2,
        script=(Act(when=at_rest, do=ask_for("2")), Act(when=at_step(1), do=metrics(Metrics.BAD))),
    ),
    "paused and approved": Scenario(
        protocols=1,
        script=(
            Act(when=at_rest, do=ask_for("2", protocols=1, rollout__steps=PAUSED)),
            Act(when=waiting_for("Approval"), do=approve),
        ),
    ),
    "A-B-C": Scenario(
        protocols=1,
        after=2,
        script=(Act(when=at_rest, do=ask_for("2", protocols=1)), Act(when=at_step(0), do=ask_for("3", protocols=1))),
    ),
    "A-B-A while B bakes": Scenario(
        protocols=1,
        after=2,
        script=(
            Act(when=at_rest, do=ask_for("2", protocols=1)),
            Act(when=in_stage("Bake"), do=ask_for("1", protocols=1)),
        ),
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_end_is_the_same_after_a_crash_at_any_call(name: str) -> None:
    scenario = SCENARIOS[name]
    crashes: dict[tuple[int, str], tuple[str, Play]] = {}
    restarts: list[tuple[str, Play]] = []
    play = Play(bed=begin(serving=scenario.serving, protocols=scenario.protocols), script=scenario.script)
    operator = play.bed.add_operator()

    def crash_here(where: str) -> None:
        if play.position < scenario.after:
            return
        cluster = play.bed.cluster
        moment = f"{cluster.now:%H:%M:%S}, {where}, {cluster.writes[-1] if cluster.writes else 'no write yet'}"
        # Nothing differs between a crash after a call and one before the next, if nothing happened in between.
        crashes.setdefault((len(cluster.watch), str(cluster.now)), (moment, play.branch()))

    operator.wire.watcher = crash_here
    passed = set()
    for _ in play.pauses():
        passed.add(final.snapshot(play.bed.cluster))
        if play.position >= scenario.after:
            restarts.append((f"{play.bed.cluster.now:%H:%M:%S}, while only a clock runs", play.branch()))
    expected = final.everything(play.bed.cluster)
    assert len(crashes) >= 8, "each call of a release is a place to die"
    for moment, crashed in (*crashes.values(), *restarts):
        began = crashed.bed.cluster.now
        for _ in crashed.pauses():
            waited = crashed.bed.cluster.now > began or (moment, crashed) not in restarts
            if waited and final.snapshot(crashed.bed.cluster) in passed:
                break  # back on the way, from where every restart was tried as well
        else:
            assert final.everything(crashed.bed.cluster) == expected, moment
