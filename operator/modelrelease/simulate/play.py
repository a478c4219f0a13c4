"""One release from the first look to its end: the loop of the operator, with time that jumps to the next wake-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from modelrelease.domain import evidence as judging
from modelrelease.domain.context import Context
from modelrelease.domain.counts import Evidence
from modelrelease.domain.observed import Observed
from modelrelease.domain.plan import Plan, Window
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Candidate, Outcome, Stage, Status, Verdict, VerdictValue
from modelrelease.simulate.serving import Serving, shares
from modelrelease.simulate.tape import Version
from modelrelease.simulate.world import World, moment, seconds

_PASSES = 50  # decisions at one moment: more is a cycle


class Ending(StrEnum):
    """How a simulated release ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolledBack"
    HELD = "held"  # the traffic ended first


class Source(Protocol):
    """Where evidence comes from."""

    def evidence(self, window: Window) -> Evidence:
        """Return what a window holds."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was decided at one look at the evidence."""

    t: float
    stage: Stage
    weight: int  # the candidate's at that look, in percent
    verdicts: tuple[Verdict, ...]
    moved: bool  # whether the release moved on, or back


@dataclass(frozen=True, kw_only=True)
class Run:
    """A simulated release. Times are seconds from when the candidate's pods were ready.

    `promoted_at` is when the candidate got all the traffic, also where it was rolled back from
    the bake; `decided_at` when the ending was decided, None for a release that is held.
    `bad_requests_served` counts the candidate's failed answers to people, not to copies.
    """

    ending: Ending
    reason: str
    message: str
    metric: str | None
    decided_at: float | None
    promoted_at: float | None
    ended_at: float
    bad_requests_served: int
    candidate_requests: int
    weights: tuple[tuple[float, float], ...]
    looks: tuple[Look, ...]  # those at which something was decided; all of them where that was asked for
    notes: tuple[str, ...] = ()


@dataclass
class Player:
    """Plays one release against one serving of traffic."""

    spec: Spec
    serving: Serving
    source: Source
    every_look: bool = False
    plans: list[Plan] | None = None  # collects every decision, where a test wants to see them
    looks: list[Look] = field(default_factory=list)
    weights: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    promoted_at: float | None = None
    decided_at: float | None = None
    verdicts: tuple[Verdict, ...] = ()  # the last ones

    def play(self) -> Run:
        """Run until the release has ended, nothing more will happen, or the traffic is over."""
        world, now, checked = World.before(self.spec), moment(0.0), None
        end = moment(self.serving.tape.end)
        while now <= end:
            wake, checked = self._settle(world, now, checked)
            if wake is None or _over(world.status):
                break
            now = wake
        return self._run(world.status, min(seconds(now), self.serving.tape.end))

    def _settle(self, world: World, now: datetime, checked: datetime | None) -> tuple[datetime | None, datetime | None]:
        """Decide until nothing changes at this moment; return when to wake up, and when evidence was last read."""
        self.serving.serve(seconds(now))
        for _ in range(_PASSES):
            observed, wanted = world.asked(now, checked)
            if wanted.window is not None:
                evidence = self.source.evidence(wanted.window)
                observed, checked = replace(observed, evidence=evidence), evidence.end
            plan, changed = world.step(observed, now)
            self._note(observed, plan, now)
            self._follow(world, now)
            if not changed:
                return _whole(plan.wake_at), checked
            if _over(world.status):
                return None, checked
        raise AssertionError(f"the release is never at rest at {seconds(now):g} s")

    def _follow(self, world: World, now: datetime) -> None:
        """Let the traffic follow the routes; all protocols have the same weight and mirror."""
        facts = next(iter(world.routes.values()))
        new = shares(since=seconds(now), candidate_ppm=facts.candidate_ppm or 0, mirror=facts.mirror)
        old = self.serving.log[-1]
        if (new.stable, new.candidate, new.shadow) == (old.stable, old.candidate, old.shadow):
            return
        self.serving.change(new)
        if new.candidate != old.candidate:
            self.weights = [entry for entry in self.weights if entry[0] < new.since]
            self.weights.append((new.since, round(100.0 * new.candidate, 4)))

    def _note(self, observed: Observed, plan: Plan, now: datetime) -> None:
        """Remember what this decision was made on, and what it changed."""
        if self.plans is not None:
            self.plans.append(plan)
        before, after = observed.status.candidate, plan.status.candidate
        moved = before is not None and (after is None or _place(before) != _place(after))
        if before is not None and observed.evidence is not None and (moved or self.every_look):
            if verdicts := _verdicts(observed, now):
                self.looks.append(
                    Look(
                        t=seconds(now),
                        stage=before.stage,
                        weight=before.weight.desired,
                        verdicts=verdicts,
                        moved=moved,
                    )
                )
                self.verdicts = verdicts
        elif after is not None and after.verdicts:
            self.verdicts = after.verdicts
        if after is not None and after.stage is Stage.BAKE and after.bake_started_at and self.promoted_at is None:
            self.promoted_at = self.decided_at = seconds(now)
        ends = after.end is not None if after is not None else _over(plan.status) and self.promoted_at is None
        if ends and (before is None or before.end is None):
            self.decided_at = seconds(now)

    def _run(self, status: Status, t: float) -> Run:
        ending, reason, message = _ending(status, baking=self.promoted_at is not None)
        served = [row for row in self.serving.counted[Version.CANDIDATE] if row.t <= t]
        return Run(
            ending=ending,
            reason=reason,
            message=message,
            metric=_metric(ending, self.verdicts),
            decided_at=self.decided_at,
            promoted_at=self.promoted_at,
            ended_at=t,
            bad_requests_served=sum(row.failures for row in served),
            candidate_requests=sum(row.requests for row in served),
            weights=tuple(self.weights),
            looks=tuple(self.looks),
            notes=(*self.serving.tape.notes, *self._resampled()),
        )

    def _resampled(self) -> tuple[str, ...]:
        """Say how much of a recording could not be used as it was."""
        if self.serving.tape.recorded is None:
            return ()
        served = sum(row.t > 0 and row.requests > 0 for rows in self.serving.counted.values() for row in rows)
        return (f"{self.serving.resampled} of {served} intervals with requests were resampled",)


def _whole(at: datetime | None) -> datetime | None:
    """Return the next whole second: the operator's clock knows no others."""
    if at is None or not at.microsecond:
        return at
    return at.replace(microsecond=0) + timedelta(seconds=1)


def _over(status: Status) -> bool:
    return status.candidate is None and bool(status.history)


def _place(candidate: Candidate) -> tuple[object, ...]:
    return candidate.stage, candidate.step, candidate.weight.desired, candidate.end


def _verdicts(observed: Observed, now: datetime) -> tuple[Verdict, ...]:
    """Return the verdicts of a look: the status that follows from it may have moved on and lost them."""
    judged = judging.judged(Context(observed=observed, status=observed.status, now=now))
    return judged.verdicts if judged is not None else ()


def _ending(status: Status, *, baking: bool) -> tuple[Ending, str, str]:
    """Return how it ended, why in a word, and why in a sentence."""
    candidate = status.candidate
    if candidate is None and status.history:
        entry = status.history[0]
        ending = Ending.PROMOTED if entry.outcome is Outcome.PROMOTED else Ending.ROLLED_BACK
        return ending, entry.reason, entry.message
    if candidate is not None and candidate.end is not None:
        return Ending.ROLLED_BACK, candidate.end.reason, candidate.end.message
    waits = status.waiting_for
    if baking:
        return Ending.PROMOTED, "Promoted", "all the traffic; it ended before the bake did"
    if waits is None:
        return Ending.HELD, "TrafficEnded", "the traffic ended first"
    return Ending.HELD, waits.reason, f"the traffic ended while waiting for {waits.what}"


def _metric(ending: Ending, verdicts: Sequence[Verdict]) -> str | None:
    """Return the metric that decided, or that kept from deciding; None where none did."""
    wanted: Sequence[VerdictValue] = ()
    if ending is Ending.ROLLED_BACK:
        wanted = (VerdictValue.FAIL,)
    if ending is Ending.HELD:
        wanted = (VerdictValue.ERROR, VerdictValue.INCONCLUSIVE)
    return next((v.metric for value in wanted for v in verdicts if v.verdict is value and not v.advisory), None)
