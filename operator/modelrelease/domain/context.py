"""What every stage of a decision works with: the facts, the status so far, the moment."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from modelrelease.domain import naming
from modelrelease.domain.observed import FLOOR_PPM, PPM, Observed, Record, Slot
from modelrelease.domain.policy import Pause
from modelrelease.domain.problem import Problem
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Candidate, End, Outcome, Stage, Status, Weight

RECHECK = 5.0  # seconds between looks at what sends no event (Triton, the Gateway)
FULL = 100  # percent: what people call all the traffic


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Why nothing moves now. `until` is when to look again, if a clock decides it."""

    reason: str
    what: str
    who: str
    counts: bool = True
    until: datetime | None = None


SUSPENDED = Wait(reason="Suspended", what="spec.suspend to become false", who="whoever suspended it", counts=False)


@dataclass(frozen=True, kw_only=True)
class Context:
    """One decision's inputs and the status as decided so far."""

    observed: Observed
    status: Status
    now: datetime

    @property
    def spec(self) -> Spec:
        """The release's spec."""
        return self.observed.spec

    @cached_property
    def target(self) -> str:
        """The revision that the spec asks for."""
        return naming.revision(self.spec)

    @property
    def candidate(self) -> Candidate:
        """The candidate, where the caller knows that there is one."""
        assert self.status.candidate is not None
        return self.status.candidate

    def with_candidate(self, candidate: Candidate | None) -> Status:
        """The status with another candidate."""
        return replace(self.status, candidate=candidate)

    def stable_record(self) -> Record | None:
        """The record of the stable revision."""
        stable = self.status.stable
        return self.observed.records.get(stable.revision) if stable else None

    def pause(self) -> Pause | None:
        """The pause that the spec puts at the candidate's current step."""
        candidate = self.candidate
        assert candidate.step is not None
        weight = candidate.ladder[candidate.step]
        return next((step.pause for step in self.spec.rollout.steps if step.weight == weight), None)

    def after(self, moment: datetime, seconds: float) -> datetime:
        """The moment some seconds after another."""
        return moment + timedelta(seconds=seconds)

    def next_check(self, started: datetime) -> datetime:
        """The next analysis boundary: derived from the start and the interval, so no restart moves it."""
        interval = self.spec.rollout.analysis.interval
        done = max(0, math.floor((self.now - started).total_seconds() / interval))
        return self.after(started, (done + 1) * interval)

    def retreat(self, *, outcome: Outcome, reason: str, message: str) -> Status:
        """The status that ends the candidate: its traffic goes back before anything else happens."""
        candidate = self.candidate
        return self.with_candidate(
            replace(
                candidate.at(Stage.RETREAT, self.now),
                analysis=None,
                weight=Weight(desired=0, accepted=candidate.weight.accepted),
                end=End(outcome=outcome, reason=reason, message=message),
            )
        )

    def lose(self, problem: Problem) -> Status:
        """Retreat because of a problem: rolled back if there was traffic, else failed."""
        exposed = self.candidate.stage in (Stage.STEP, Stage.BAKE)
        outcome = Outcome.ROLLED_BACK if exposed else Outcome.FAILED
        return self.retreat(outcome=outcome, reason=problem.reason, message=problem.message)


def ppm(percent: int) -> int:
    """Return a weight in parts per million, kept within what the gateway may be given.

    0 % is the floor and 100 % all but the floor: a backend of weight 0 would vanish from the gateway.
    """
    return min(max(percent * (PPM // FULL), FLOOR_PPM), PPM - FLOOR_PPM)


def capacity(*, weight: int, stable_ready: int, replicas: int) -> int:
    """Return the candidate replicas that must be ready for a weight: its share of stable's, rounded up."""
    return max(1, min(replicas, math.ceil(weight * stable_ready / FULL)))


def slot_ready(observed: Observed, slot: Slot, revision: str) -> int:
    """Return the ready endpoints of a slot that belong to a revision."""
    facts = observed.slots.get(slot)
    return facts.ready.get(revision, 0) if facts else 0
