"""Golden requests beside the reconcile loop: due, cached, bounded, and never in its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from modelrelease.adapters.triton import GoldenAnswers
from modelrelease.domain.counts import GoldenCheck
from modelrelease.domain.observed import BuildResult, Contract, Meta, Record
from modelrelease.domain.policy import OutputComparison
from modelrelease.domain.status import Artifact
from modelrelease.runtime.golden import GoldenWatch

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
META = Meta(name="digits", namespace="vision", uid="u", generation=1, resource_version="1")


def record(revision: str) -> Record:
    artifact = Artifact(uri="x", digest="sha256:x")
    result = BuildResult(artifact=artifact, contract=Contract(inputs=(), outputs=()), metrics={})
    return Record(revision=revision, artifact_key="k", version="1", result=result, template="", created=NOW)


@dataclass
class Model:
    """Answers when it may; counts who asks at once."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    cancelled: int = 0
    error: Exception | None = None

    async def ask(
        self,
        *,
        meta: Meta,
        model: str,
        candidate: Record,
        stable: Record | None,
        compare: tuple[OutputComparison, ...],
        now: datetime,
    ) -> GoldenAnswers:
        self.asked.append(f"{meta.name} {candidate.revision}")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        if self.error is not None:
            raise self.error
        return GoldenAnswers(checks=(GoldenCheck(revision=candidate.revision, at=now, asked=1),))


@dataclass
class Bench:
    model: Model
    watch: GoldenWatch

    async def look(self, *, due: bool = True, revision: str = "r1", name: str = "digits", at: int = 0) -> GoldenAnswers:
        return await self.watch.latest(
            meta=replace(META, name=name),
            model="m",
            candidate=record(revision),
            stable=record("r0"),
            compare=(),
            due=due,
            now=NOW + timedelta(seconds=at),
        )


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    model = Model()
    made = Bench(model=model, watch=GoldenWatch(model, patience=0.01, at_once=2))
    yield made
    await made.watch.close()


def asked_at(answers: GoldenAnswers) -> list[datetime]:
    return [check.at for check in answers.checks]


async def test_a_healthy_model_is_known_at_the_look_that_asks(bench: Bench) -> None:
    bench.model.may_answer.set()
    assert asked_at(await bench.look()) == [NOW]


async def test_between_two_runs_the_last_answers_are_told_and_nobody_is_asked(bench: Bench) -> None:
    bench.model.may_answer.set()
    first = await bench.look()
    assert await bench.look(due=False, at=15) == first
    assert len(bench.model.asked) == 1
    assert asked_at(await bench.look(at=60)) == [NOW + timedelta(seconds=60)]


async def test_nothing_is_asked_before_it_is_due(bench: Bench) -> None:
    assert await bench.look(due=False) == GoldenAnswers(checks=())
    assert bench.model.asked == []


async def test_a_model_that_hangs_holds_nobody_up_and_is_told_at_a_later_look(bench: Bench) -> None:
    assert asked_at(await bench.look()) == []
    assert asked_at(await bench.look(at=60)) == [], "the run goes on: there is never a second one beside it"
    assert len(bench.model.asked) == 1
    bench.model.may_answer.set()
    assert asked_at(await bench.look(due=False, at=75)) == [NOW]


async def test_another_candidate_is_not_judged_by_the_answers_of_the_last(bench: Bench) -> None:
    bench.model.may_answer.set()
    await bench.look()
    assert await bench.look(due=False, revision="r2") == GoldenAnswers(checks=())
    answers = await bench.look(revision="r2")
    assert [check.revision for check in answers.checks] == ["r2"]


async def test_the_run_of_a_candidate_that_is_gone_is_called_off(bench: Bench) -> None:
    await bench.look()
    await bench.look(revision="r2")
    assert bench.model.cancelled == 1
    bench.model.may_answer.set()
    answers = await bench.look(due=False, revision="r2")
    assert [check.revision for check in answers.checks] == ["r2"]


async def test_a_release_that_is_gone_is_forgotten(bench: Bench) -> None:
    await bench.look()
    bench.watch.forget(("vision", "digits"))
    bench.watch.forget(("vision", "digits"))
    bench.model.may_answer.set()
    assert await bench.look(due=False) == GoldenAnswers(checks=())


async def test_a_few_are_asked_at_once(bench: Bench) -> None:
    await asyncio.gather(*(bench.look(name=f"m{number}") for number in range(5)))
    assert (bench.model.most, len(bench.model.asked)) == (2, 2)
    bench.model.may_answer.set()
    answers = await asyncio.gather(*(bench.look(name=f"m{number}", due=False) for number in range(5)))
    assert [len(one.checks) for one in answers] == [1] * 5


async def test_a_defect_is_logged_and_asked_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.model.may_answer.set()
    bench.model.error = ZeroDivisionError("oops")
    assert await bench.look() == GoldenAnswers(checks=())
    assert "defect" in caplog.text
    bench.model.error = None
    assert asked_at(await bench.look(at=60)) == [NOW + timedelta(seconds=60)]


async def test_at_the_end_no_run_is_left(bench: Bench) -> None:
    await asyncio.gather(*(bench.look(name=f"m{number}") for number in range(4)))
    await bench.watch.close()
    assert bench.model.under_way == 0
    assert bench.model.cancelled == 2
