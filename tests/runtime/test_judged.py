"""Dashboards see every look, though the status is seldom written; nothing stays of candidates that are gone."""

from __future__ import annotations

from modelrelease.domain import naming
from modelrelease.domain.status import Verdict, VerdictValue
from modelrelease.runtime.metrics import Metrics

from tests.fakes.bench import KEY
from tests.fakes.samples import release, set_version
from tests.fakes.world import World

WHO = {"namespace": "vision", "release": "digits", "metric": "error-ratio"}


def test_a_look_is_shown_and_the_next_replaces_it() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    known = Verdict(metric="error-ratio", verdict=VerdictValue.INCONCLUSIVE, message="", e_value=1.5, samples=40)
    metrics.judged.tell(KEY, (known,))
    assert value("modelrelease_verdict", {**WHO, "verdict": "Inconclusive"}) == 1
    assert value("modelrelease_verdict", {**WHO, "verdict": "Pass"}) == 0
    assert value("modelrelease_verdict_e_value", WHO) == 1.5
    assert value("modelrelease_verdict_samples", WHO) == 40
    assert value("modelrelease_verdict_estimate", WHO) is None
    metrics.judged.tell(KEY, ())
    assert value("modelrelease_verdict_samples", WHO) is None


async def test_each_look_of_a_release_is_told_and_nothing_after_its_end() -> None:
    world = World()
    told: list[int] = []
    world.cluster.create(release())
    await world.run(KEY, seconds=10)
    world.tell = lambda _, verdicts: told.append(max((v.samples for v in verdicts), default=0))
    await world.restart()
    world.cluster.edit(naming.KIND, *KEY, lambda live: set_version(live["spec"], "2"))
    await world.run(KEY, seconds=150)
    assert world.status(KEY)["stable"]["version"] == "2"  # type: ignore[index]
    assert len([samples for samples in told if samples]) > 5
    assert told[-1] == 0
