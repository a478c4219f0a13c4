"""What `decide` answers: the next status, what should exist, and when to look again.

A want is declarative ("this slot selects that revision"); the runtime renders it, writes it
only where the live object differs, and stops at the first write that fails. Their order in a
plan is the safe order. The status is written before any want: a crash in between leaves the
intent, from which the next decision goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from modelrelease.domain.observed import BuildResult, Mirror, Protocol, Slot
from modelrelease.domain.status import Artifact, Status, Verdict


@dataclass(frozen=True, kw_only=True)
class WantJob:
    """The build Job of an artifact; `stable` is the one that its metrics are compared with on the same rows."""

    artifact_key: str
    attempt: int
    stable: Artifact | None = None


@dataclass(frozen=True, kw_only=True)
class WantRecord:
    """The ControllerRevision of a built revision; `number` is its place in the history."""

    revision: str
    artifact_key: str
    version: str
    result: BuildResult
    number: int


@dataclass(frozen=True, kw_only=True)
class WantDeployment:
    """A revision's Deployment (with its PodDisruptionBudget) at a number of replicas.

    A new `intent` is a write even where nothing else changes: what was decided before it, and
    is still on its way from a deposed leader, meets another resourceVersion and is refused.
    """

    revision: str
    replicas: int
    intent: str | None = None


@dataclass(frozen=True, kw_only=True)
class WantSlot:
    """A slot's Service selecting a revision; None as `resource_version` means that it was absent."""

    slot: Slot
    revision: str
    resource_version: str | None


@dataclass(frozen=True, kw_only=True)
class WantRoute:
    """One protocol's route with a candidate weight in parts per million; `intent` as in `WantDeployment`."""

    protocol: Protocol
    candidate_ppm: int
    resource_version: str | None
    mirror: Mirror | None = None
    intent: str | None = None


@dataclass(frozen=True, kw_only=True)
class Remove:
    """Delete an object, only if it is still the one that was seen."""

    kind: str  # Deployment (its PodDisruptionBudget goes with it), Job, ControllerRevision, HTTPRoute, GRPCRoute
    name: str
    uid: str
    resource_version: str


Want = WantJob | WantRecord | WantDeployment | WantSlot | WantRoute | Remove


@dataclass(frozen=True, kw_only=True)
class Announce:
    """A Kubernetes Event about a transition; the name is derived, so that a replay is no second Event."""

    type: str  # Normal, Warning
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One decision. `judged` are the verdicts of this look, whether or not they are worth a write."""

    status: Status
    wants: tuple[Want, ...] = ()
    announce: tuple[Announce, ...] = ()
    wake_at: datetime | None = None
    judged: tuple[Verdict, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Window:
    """The counts that a decision needs: blocks of `block` seconds from `start`, the complete ones up to `end`.

    `block` is None before the first look: the spacing of the scrapes, which the answer then tells.
    `history` asks for stable's counts of that many seconds before `start` as well; `mirror` says who
    gets copies now: the candidate (shadow) or stable (the control of a bake). `before` is when the look
    before this one was due, None where that was before the warm-up ended.
    """

    start: datetime
    end: datetime
    block: float | None = None
    history: float | None = None
    mirror: Slot | None = None
    golden: bool = False  # the golden requests are due
    before: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the next decision needs to know beyond the cached objects."""

    probe: str | None = None  # a revision whose Triton is to be asked through the preview slot
    window: Window | None = None  # the evidence to read
    gateway: bool = False  # the Gateway's facts, hostname conflicts included
