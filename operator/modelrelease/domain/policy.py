"""The typed `spec.rollout` of a ModelRelease: how traffic moves, and what must be seen before it does.

What is said of fields and defaults in `modelrelease.domain.spec` holds here too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


def seconds(default: float | None) -> Any:
    """Declare a duration: a Go-style string such as `1h30m` in the API, seconds here."""
    return field(default=default, metadata={"duration": True})


class OnDeadline(StrEnum):
    """What happens when a release made no progress for `progressDeadline`."""

    HOLD = "Hold"
    ROLLBACK = "Rollback"


class SchemaChange(StrEnum):
    """Whether the model's inputs and outputs may differ from the stable version's."""

    FORBID = "Forbid"
    ALLOW = "Allow"


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A stop after a step's analysis passed: for a time, or until someone approves."""

    duration: float | None = seconds(None)
    until_approved: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the rollout: `weight` percent of the traffic to the candidate."""

    weight: int
    pause: Pause | None = None


class OnInconclusive(StrEnum):
    """What happens when a step's evidence is still inconclusive at `stepDeadline`."""

    HOLD = "Hold"
    ROLLBACK = "Rollback"
    ADVANCE = "Advance"  # only while no metric is amber


@dataclass(frozen=True, kw_only=True)
class ErrorRate:
    """The candidate's failure ratio p_c may be at most `max_increase + (1 + max_relative_increase) * p_s`."""

    max_increase: float = 0.005
    max_relative_increase: float = 0.1
    objective: float | None = None  # an absolute ratio (SLO) that the candidate may not exceed


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The share of requests slower than a bucket bound may grow as far as `ErrorRate` says of failures.

    The bounds are frozen before the first traffic: `objective` rounded up to a bucket, else stable's p90 and p99.
    """

    max_increase: float = 0.005
    max_relative_increase: float = 0.5
    objective: float | None = seconds(None)


@dataclass(frozen=True, kw_only=True)
class CustomMetric:
    """A metric of the user's own: exactly one of the pairs `bad`/`total`, `sum`/`count`, `value`/`threshold`.

    `bad`, `total`, `sum` and `count` are selectors of counters in which `$slot` stands for the slot's
    Service, `$revision` for the revision; `sum` adds up losses in 0..1. `value` is any query of one number.
    """

    name: str
    bad: str | None = None
    total: str | None = None
    sum: str | None = None
    count: str | None = None
    value: str | None = None
    threshold: float | None = None
    max_increase: float = 0.01
    max_relative_increase: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Each number may be off by `absolute`, and by `relative` times what is expected, on top of that."""

    absolute: float = 0.0
    relative: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Top:
    """Of the `k` largest numbers of a row a share of at least `overlap` must be the same ones, in any order."""

    k: int
    overlap: float = 1.0


@dataclass(frozen=True, kw_only=True)
class OutputComparison:
    """When two answers of an output agree. Exactly one of the ways is set; `cosine` is the least one of a row."""

    output: str
    tolerance: Tolerance | None = None
    top: Top | None = None
    cosine: float | None = None


@dataclass(frozen=True, kw_only=True)
class Golden:
    """The prober: the artifact's golden requests, sent to both slots' pods on a schedule.

    Outputs that `compare` does not name agree within the tolerance that the artifact's golden set carries.
    """

    enabled: bool = True
    interval: float = seconds(60.0)
    compare: tuple[OutputComparison, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """When evidence is looked at, how much is needed, and what it must show."""

    interval: float = seconds(15.0)
    warmup: float = seconds(60.0)  # of each step: not counted
    min_duration: float = seconds(60.0)  # of each step, after the warm-up
    min_requests: int = 50  # of the candidate, at each step
    step_deadline: float = seconds(1800.0)
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD
    bad_request_budget: int = 100
    error_rate: ErrorRate = ErrorRate()
    latency: Latency = Latency()
    metrics: tuple[CustomMetric, ...] = ()
    golden: Golden = Golden()


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """Copies of live requests that the candidate answers to nobody, before its first step and between steps."""

    percent: int = 100
    duration: float = seconds(300.0)


@dataclass(frozen=True, kw_only=True)
class Bake:
    """How long the old version stays loaded after promotion, and what it is compared with meanwhile.

    The control is `holdback` percent of the traffic that stay on the old version, or `mirror` percent copied to it.
    """

    duration: float = seconds(3600.0)
    holdback: int = 1
    mirror: int = 0


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How traffic moves to a new revision. No steps means that they are planned from today's traffic."""

    steps: tuple[Step, ...] = ()
    shadow: Shadow | None = None
    analysis: Analysis = Analysis()
    bake: Bake = Bake()
    schema_change: SchemaChange = SchemaChange.FORBID
    progress_deadline: float = seconds(3600.0)
    on_deadline: OnDeadline = OnDeadline.HOLD
    scale_down_delay: float = seconds(30.0)
    revision_history_limit: int = 10
