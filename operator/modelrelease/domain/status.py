"""The typed `status` of a ModelRelease: everything durable that `decide` knows.

Times are RFC 3339 in UTC with whole seconds, kept as `datetime` here.
Weights are percent, as people say them; what the gateway gets is parts per million.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from modelrelease.domain.policy import seconds


class Stage(StrEnum):
    """How far the candidate is. `Retreat` moves its traffic back and ends it."""

    BUILD = "Build"
    DEPLOY = "Deploy"
    SHADOW = "Shadow"
    STEP = "Step"
    BAKE = "Bake"
    RETREAT = "Retreat"


class Outcome(StrEnum):
    """How a release ended."""

    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"  # before it had traffic
    ABORTED = "Aborted"  # by a person
    SUPERSEDED = "Superseded"  # by a newer revision


class VerdictValue(StrEnum):
    """What the analysis says of one metric."""

    PASS = "Pass"  # noqa: S105 - a verdict, not a password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A metav1.Condition."""

    type: str
    status: str  # True, False, Unknown
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An immutable artifact: where it is and its digest."""

    uri: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Stable:
    """The revision that serves production."""

    revision: str
    version: str
    artifact: Artifact
    replicas: int  # ready ones, as last seen at a transition
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Weight:
    """The candidate's share of the traffic in percent: wanted, accepted by the gateway, measured."""

    desired: int = 0
    accepted: int = 0
    observed: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One metric's verdict with the evidence behind it.

    `lower` and `upper` bound the candidate's excess over what is allowed to it, at every look at once.
    `e_value` is the evidence for the verdict as told (against the metric where it fails, for it else).
    An `advisory` verdict is told to people and decides nothing.
    """

    metric: str
    verdict: VerdictValue
    message: str  # one sentence: value, threshold, samples
    estimate: float | None = None
    baseline: float | None = None
    threshold: float | None = None
    lower: float | None = None
    upper: float | None = None
    e_value: float | None = None
    samples: int = 0
    blocks: int = 0
    query: str = ""
    advisory: bool = False


@dataclass(frozen=True, kw_only=True)
class AnalysisState:
    """What the analysis carries from look to look, written whenever the status is.

    The evidence after `until` is read anew at each look, in blocks of `block` seconds, so that a
    restart between two writes decides the same. `state` is packed by `analysis`, which alone reads it.
    Blocks that end after `warm` count in full; those before count failures, against the candidate alone.
    """

    until: datetime
    warm: datetime | None = None
    block: float = seconds(15.0)
    bounds: tuple[float, ...] = ()  # of the latency metrics, in ms
    state: str = ""


@dataclass(frozen=True, kw_only=True)
class End:
    """Why a candidate retreats, written once, before its traffic moves."""

    outcome: Outcome
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The revision on its way to production.

    `step` is 0-based and counts within `ladder`, the steps' weights as last planned: an edit
    of `spec.rollout.steps` is seen by comparing. `progress_at` is the last moment of progress,
    from which the deadline counts.
    """

    revision: str
    version: str
    attempt: int
    stage: Stage
    started_at: datetime
    progress_at: datetime
    artifact: Artifact | None = None
    weight: Weight = Weight()
    ladder: tuple[int, ...] = ()
    step: int | None = None
    step_started_at: datetime | None = None  # when the gateway accepted the step's weight, or the shadow's copies
    approved: bool = False  # this step was approved
    skip: bool = False  # promote: the remaining steps are waived
    bake_started_at: datetime | None = None
    bake_ended_at: datetime | None = None  # its control goes; promotion follows when the gateway has accepted that
    mirror_stopped: str | None = None  # why no copies of requests go to it any more
    analysis: AnalysisState | None = None
    verdicts: tuple[Verdict, ...] = ()
    verdicts_at: datetime | None = None
    peak_weight: int = 0
    bad_requests: int = 0
    end: End | None = None  # set in Retreat

    def at(self, stage: Stage, now: datetime) -> Candidate:
        """Return this candidate at the next stage, which is progress."""
        return replace(self, stage=stage, progress_at=now)


@dataclass(frozen=True, kw_only=True)
class Retired:
    """A revision that left the route and is removed after `scaleDownDelay`."""

    revision: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """The last revision that failed; not tried again by itself."""

    revision: str
    attempt: int
    reason: str
    message: str
    gates: str  # hash of the gates that judged it: changed gates judge anew


@dataclass(frozen=True, kw_only=True)
class WaitingFor:
    """What the release waits for, since when, and who can unblock it."""

    reason: str
    what: str
    since: datetime
    who: str
    counts: bool = True  # against progressDeadline; pauses, approvals and GPU waits do not


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """One finished release."""

    version: str
    revision: str
    attempt: int
    outcome: Outcome
    reason: str
    message: str
    started_at: datetime
    finished_at: datetime
    peak_weight: int
    bad_requests: int


@dataclass(frozen=True, kw_only=True)
class Status:
    """The whole `status`. `phase`, `step` and `message` are for people; `decide` reads none of them."""

    observed_generation: int = 0
    phase: str = ""
    step: str = ""  # "3/5", for the printer column
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    stable: Stable | None = None
    candidate: Candidate | None = None
    retired: tuple[Retired, ...] = ()
    rejected: Rejected | None = None
    handled: tuple[str, ...] = ()  # ids of the imperative commands that were latched
    waiting_for: WaitingFor | None = None
    history: tuple[HistoryEntry, ...] = ()
