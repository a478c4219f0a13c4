"""The evidence of a look: what both versions counted, and how golden requests were answered. Numbers only.

How it is asked for and judged: `modelrelease.domain.evidence` and `modelrelease.domain.analysis`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from modelrelease.domain.problem import Problem


@dataclass(frozen=True, kw_only=True)
class CustomCount:
    """What one metric of `spec.rollout.analysis.metrics` counted: bad ones (or a sum of losses in 0..1) of all."""

    name: str
    bad: float
    total: float


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Inputs that both versions answered, drawn from live requests, none twice; ties count in `count` only."""

    count: float
    worse: float  # where the candidate's answer was the worse one
    better: float


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm's counts in a stretch of time; `latency` holds (upper bound in ms, cumulative count).

    `classes` counts the answers by predicted class; `pairs` is in the candidate's or the shadow's arm.
    """

    requests: float = 0.0
    failures: float = 0.0
    latency: tuple[tuple[float, float], ...] = ()
    custom: tuple[CustomCount, ...] = ()
    classes: tuple[tuple[str, float], ...] = ()
    pairs: Pairs | None = None


@dataclass(frozen=True, kw_only=True)
class Block:
    """The disjoint increments of all arms in one interval of one weight.

    `shadow` is what the candidate answered to mirrored requests: nobody saw those answers. In the
    bake the roles stay: `candidate` serves, `stable` is the control (hold-back or reverse mirror).
    A block in which nothing was scraped has empty arms and says nothing.
    """

    start: datetime
    end: datetime
    stable: Arm = Arm()
    candidate: Arm = Arm()
    shadow: Arm = Arm()


@dataclass(frozen=True, kw_only=True)
class History:
    """Stable's counts before the candidate had traffic: one arm for each window of `block` seconds, oldest first.

    `by_process` splits the same windows by scraped process (gateway pod, serving pod) where the source can:
    one tuple of arms per window, always in the same order of processes.
    """

    block: float
    windows: tuple[Arm, ...] = ()
    by_process: tuple[tuple[Arm, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class GoldenCheck:
    """One run of the artifact's golden requests against a slot: how many were asked and what went wrong.

    `wrong` is an answer that differs from the expected output by more than the tolerance;
    `message` names the first failure. Each failure was confirmed by a second try. `problem` is why
    nothing was asked, which says nothing of the model: one that is `waiting` passes, else the
    revision has no golden requests that could be asked.
    """

    revision: str
    at: datetime
    asked: int
    failed: int = 0  # no answer, an error status, another schema
    not_finite: int = 0
    wrong: int = 0
    latency_ms: float | None = None  # median
    message: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class GoldenComparison:
    """Candidate's and stable's answers to the candidate's golden requests, which both got: numbers for people.

    `largest` and `mean` are absolute differences over all numbers of all outputs. `choices` counts
    the rows of outputs that choose among several values (top-1) or have a comparison of their own, `changed`
    those where they choose another one or do not agree. `signs` are numbers for the test of pairs: for each
    labelled input, in the order of the set, 1 where the candidate's answer is the worse one, -1 where it is
    the better one. None has any where the labels can't be trusted to be new to both.
    """

    candidate: str  # revision
    stable: str
    at: datetime
    rows: int
    largest: float
    mean: float
    choices: int = 0
    changed: int = 0
    signs: tuple[int, ...] = ()
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Counts of all arms between two moments, or why there are none (`error`).

    `blocks` are on the grid that was asked for, oldest first, complete ones only. `scrape` is the
    spacing of the samples in seconds, as seen. `stable` and `candidate` are the sums over the window.
    """

    start: datetime
    end: datetime
    stable: Arm = Arm()
    candidate: Arm = Arm()
    blocks: tuple[Block, ...] = ()
    history: History | None = None
    scrape: float | None = None
    values: tuple[CustomCount, ...] = ()  # metrics of kind value: `bad` is the value, `total` 1 (0 where there is none)
    values_before: tuple[CustomCount, ...] = ()  # the same at the look before, if that is one of this step
    problems: Mapping[str, Problem] = field(default_factory=dict)  # by custom metric: why it has no numbers
    golden: tuple[GoldenCheck, ...] = ()  # of candidate and stable, where they were asked
    compared: GoldenComparison | None = None
    saturated: str = ""  # why the candidate can take no more copies, in words
    error: Problem | None = None
    error_query: str = ""
    latency_query: str = ""
