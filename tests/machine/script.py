"""Scenarios as data: what people do, and at which point of a release they do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import cycle
from typing import Any

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import commands
from modelrelease.domain.commands import Verb

from tests.fakes.samples import release
from tests.machine.bed import Bed
from tests.machine.operators import Ended, Metrics


@dataclass(frozen=True, kw_only=True)
class Act:
    """Something that happens once, as soon as `when` holds."""

    when: Callable[[Bed], bool]
    do: Callable[[Bed], None]


def a_spec(version: str, *, protocols: int = 2, **changes: Any) -> dict[str, Any]:
    """Return a spec that asks for a version; one protocol is HTTP."""
    spec: dict[str, Any] = release(version=version, **changes)["spec"]
    if protocols == 1:
        del spec["traffic"]["gateway"]["grpc"]
    return spec


def at_rest(bed: Bed) -> bool:
    """Hold when nothing is under way."""
    return bool(bed.status) and "candidate" not in bed.status


def at_step(number: int, *, accepted: bool = True) -> Callable[[Bed], bool]:
    """Hold when the candidate is at a step, accepted by the gateway or just wanted."""

    def holds(bed: Bed) -> bool:
        candidate = bed.status.get("candidate") or {}
        here = candidate.get("stage") == "Step" and candidate.get("step") == number
        return here and (not accepted or "stepStartedAt" in candidate)

    return holds


def in_stage(stage: str) -> Callable[[Bed], bool]:
    """Hold when the candidate is in a stage."""
    return lambda bed: (bed.status.get("candidate") or {}).get("stage") == stage


def waiting_for(reason: str) -> Callable[[Bed], bool]:
    """Hold when the release says that it waits for this."""
    return lambda bed: (bed.status.get("waitingFor") or {}).get("reason") == reason


def approve(bed: Bed) -> None:
    """Approve the candidate's step."""
    order(bed, Verb.APPROVE, bed.status["candidate"])


def order(bed: Bed, verb: Verb, subject: Manifest, token: str = "t") -> None:
    """Give an order about a revision's attempt."""
    value = commands.format_command(revision=subject["revision"], attempt=subject["attempt"], step=None, token=token)
    bed.annotate(commands.annotation(verb), value)


def ask_for(version: str, **changes: Any) -> Callable[[Bed], None]:
    """Edit the release to ask for a version."""
    return lambda bed: bed.edit(a_spec(version, **changes))


def metrics(said: Metrics) -> Callable[[Bed], None]:
    """Let the metrics say something else from now on."""
    return lambda bed: setattr(bed.outside, "metrics", said)


@dataclass
class Play:
    """A bed on which a script goes on."""

    bed: Bed
    script: Sequence[Act]
    position: int = 0
    slow: bool = False  # the operator looks after each move of each controller

    def pauses(self, *, looks: int = 200, looked: Callable[[Bed], None] = lambda _: None) -> Iterator[None]:
        """Play, and yield whenever only a clock can bring more; end when nothing is left to do."""
        bed = self.bed
        operator = bed.operators[0] if bed.operators else bed.add_operator()
        moves = cycle(bed.controllers() if self.slow else [bed.settle])
        quiet = 0
        for _ in range(looks):
            before = len(bed.cluster.watch)
            next(moves)()
            operator.catch_up()
            before = before if self.slow else len(bed.cluster.watch)
            ended = bed.look(operator)
            looked(bed)
            if self.position < len(self.script) and self.script[self.position].when(bed):
                self.script[self.position].do(bed)
                self.position += 1
                continue
            quiet = quiet + 1 if ended is Ended.DONE and len(bed.cluster.watch) == before else 0
            if quiet < (len(bed.controllers()) if self.slow else 1):
                continue
            if operator.wake_at is None:
                assert self.position == len(self.script), f"act {self.position} never came"
                return
            yield
            bed.cluster.now = max(operator.wake_at, bed.cluster.now + timedelta(seconds=1))
        raise AssertionError(f"never at rest: {bed.status}")

    def to_the_end(self) -> Bed:
        """Play all of it; return the bed as it is then."""
        for _ in self.pauses():
            pass
        return self.bed

    def branch(self) -> Play:
        """Return a play that goes on from here, by a process that just started."""
        return Play(bed=self.bed.branch(), script=self.script, position=self.position)


def begin(*, serving: bool, protocols: int = 2) -> Bed:
    """Return a bed without a process, on which version 1 was applied; or serves, and all is at rest."""
    return (_serving if serving else _applied)(protocols).branch()


@cache
def _applied(protocols: int) -> Bed:
    bed = Bed()
    bed.create(a_spec("1", protocols=protocols))
    return bed


@cache
def _serving(protocols: int) -> Bed:
    return Play(bed=begin(serving=False, protocols=protocols), script=()).to_the_end()


def midway(moment: int) -> Bed:
    """Return a bed on which version 2 has come this many looks far; later moments are its end."""
    moments = _moments()
    return moments[min(moment, len(moments) - 1)].branch()


@cache
def _moments() -> list[Bed]:
    play = Play(bed=begin(serving=True), script=(Act(when=at_rest, do=ask_for("2")),))
    moments = [begin(serving=False)]
    for _ in play.pauses(looked=lambda bed: moments.append(bed.branch())):
        pass
    return moments
