"""What a release costs the API server."""

from __future__ import annotations

from collections import Counter

from modelrelease.domain import naming

from tests.machine.bed import KEY
from tests.machine.script import Act, Play, a_spec, at_rest, begin

STEPS = [{"weight": weight} for weight in (5, 10, 25, 50, 75)]
MOST = 40


def test_a_promoted_release_of_five_steps_takes_at_most_forty_writes() -> None:
    """Of one protocol; the build Job and the Events count, too."""

    def ask(play: Play) -> None:
        spec = a_spec("2", protocols=1, rollout__steps=STEPS)
        spec["rollout"]["analysis"]["interval"] = "60s"
        play.bed.edit(spec)

    play = Play(bed=begin(serving=True, protocols=1), script=())
    play.script = (Act(when=at_rest, do=lambda _: ask(play)),)
    cluster = play.to_the_end().cluster
    assert cluster.at(naming.KIND, *KEY)["status"]["stable"]["version"] == "2"
    spent = Counter(f"{write.verb} {write.kind}" for write in cluster.writes)
    assert sum(spent.values()) <= MOST, f"{sum(spent.values())}: {dict(spent)}"


def test_a_release_at_rest_costs_nothing() -> None:
    play = Play(bed=begin(serving=True), script=())
    cluster = play.to_the_end().cluster
    assert cluster.writes == []
    assert play.bed.operators[0].wake_at is None, "and no clock runs"
