"""Evidence of the stages with an analysis: which is asked for, how it is judged, and what it still lacks.

The analysis carries its state in the status, which is written only when something happens; what
came after the stored state is read anew at each look. Looks in between cost no write and change nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

from modelrelease.domain import analysis
from modelrelease.domain.analysis import Exposure
from modelrelease.domain.analysis.extras import SPLIT
from modelrelease.domain.analysis.golden import METRIC as GOLDEN
from modelrelease.domain.context import FULL, Context, Wait
from modelrelease.domain.counts import Evidence
from modelrelease.domain.mirroring import mirror_target
from modelrelease.domain.plan import Window
from modelrelease.domain.status import Candidate, Stage, Verdict, VerdictValue

JUDGED = (Stage.SHADOW, Stage.STEP, Stage.BAKE)  # the stages in which evidence decides
HISTORY = 7200.0  # seconds of stable's past that say how much it varies by itself

_LARGEST = float(2**53 - 1)


def clock(candidate: Candidate) -> datetime | None:
    """Return when the current weight or shadow was accepted; all checks derive from it."""
    return candidate.bake_started_at if candidate.stage is Stage.BAKE else candidate.step_started_at


def first_window(context: Context) -> Window:
    """Return what to read before the first traffic: stable's past, and the golden requests' answers."""
    golden = context.spec.rollout.analysis.golden.enabled
    return Window(start=context.now, end=context.now, history=HISTORY, golden=golden)


def due_window(context: Context, checked: datetime | None) -> Window | None:
    """Return the evidence that is due, None between two looks; `checked` is when this process last read any."""
    candidate, policy = context.candidate, context.spec.rollout.analysis
    started, state = clock(candidate), candidate.analysis
    if started is None or state is None or context.now <= state.until:
        return None
    if not _crossed(started, policy.interval, checked, context.now):
        return None
    mirror = mirror_target(context)
    return Window(
        start=state.until,
        end=context.now,
        block=state.block,
        mirror=mirror.slot if mirror else None,
        golden=policy.golden.enabled and _crossed(started, policy.golden.interval, checked, context.now),
        before=_before(started, state.warm, policy.interval, context.now),
    )


def _before(started: datetime, warm: datetime | None, interval: float, now: datetime) -> datetime | None:
    """Return when the look before the one that is due now was due, None if the candidate was not warm then.

    It follows from the clock alone, so that nothing need be remembered from look to look.
    """
    count = math.floor((now - started).total_seconds() / interval)
    before = started + timedelta(seconds=(count - 1) * interval)
    return before if before >= (warm or started) and count > 1 else None


def _crossed(started: datetime, interval: float, checked: datetime | None, now: datetime) -> bool:
    """Tell whether a multiple of `interval` since `started` came after the last look."""
    count = math.floor((now - started).total_seconds() / interval)
    return count >= 1 and (checked is None or checked < started + timedelta(seconds=count * interval))


def judged(context: Context) -> Candidate | None:
    """Return the candidate with verdicts on the evidence that was read, None if there is none or it was judged."""
    evidence, candidate = context.observed.evidence, context.candidate
    state = candidate.analysis
    if evidence is None or state is None or evidence.start != state.until or candidate.verdicts_at == context.now:
        return None
    policy = context.spec.rollout.analysis
    verdicts, after = analysis.judge(policy=policy, state=state, evidence=evidence, exposure=exposure(context))
    weight = replace(candidate.weight, observed=_observed_share(evidence) if candidate.weight.desired else None)
    return replace(
        candidate,
        analysis=after,
        verdicts=tuple(_storable(verdict) for verdict in (*verdicts, *_compared(evidence))),
        verdicts_at=context.now,
        weight=weight,
        bad_requests=candidate.bad_requests + failures(evidence),
        mirror_stopped=candidate.mirror_stopped or evidence.saturated or None,
    )


def exposure(context: Context) -> Exposure:
    """Return how the candidate meets traffic now: its share, and who gets copies."""
    mirror = mirror_target(context)
    return Exposure(
        weight=context.candidate.weight.desired / FULL,
        mirror=mirror.slot if mirror else None,
        percent=mirror.percent if mirror else 0,
    )


def failures(evidence: Evidence | None) -> int:
    """Return the requests that the candidate failed in the blocks that were read, 0 where that is not known."""
    if evidence is None or evidence.error is not None:
        return 0
    counts = [block.candidate.failures for block in evidence.blocks]
    return round(sum(count for count in counts if math.isfinite(count) and count > 0))


def _storable(verdict: Verdict) -> Verdict:
    """Return a verdict with numbers that the API server takes: finite, and within what it reads as whole ones."""
    return replace(
        verdict,
        estimate=_number(verdict.estimate),
        baseline=_number(verdict.baseline),
        threshold=_number(verdict.threshold),
        lower=_number(verdict.lower),
        upper=_number(verdict.upper),
        e_value=_number(verdict.e_value),
    )


def _number(value: float | None) -> float | None:
    return max(-_LARGEST, min(_LARGEST, float(value))) if value is not None and math.isfinite(value) else None


def _compared(evidence: Evidence) -> tuple[Verdict, ...]:
    """Return how often the candidate chooses otherwise than stable on the golden requests: a new model may."""
    found = evidence.compared
    if found is None:
        return ()
    return (
        Verdict(
            metric="golden-changes",
            verdict=VerdictValue.PASS,
            message=found.message,
            estimate=found.changed / found.choices if found.choices else None,
            samples=found.rows,
            advisory=True,
        ),
    )


def _observed_share(evidence: Evidence) -> float | None:
    total = evidence.stable.requests + evidence.candidate.requests
    if evidence.error is not None or not 0 < total < math.inf:
        return None
    return round(FULL * evidence.candidate.requests / total, 1)


def overall(candidate: Candidate) -> VerdictValue:
    """Return what the candidate's verdicts say together; none at all is inconclusive."""
    return analysis.overall(candidate.verdicts)


def samples(candidate: Candidate) -> int:
    """Return the candidate's requests behind the verdict that has the most of them."""
    return max((v.samples for v in candidate.verdicts if v.metric not in (GOLDEN, SPLIT)), default=0)


def evidence_wait(candidate: Candidate, verdict: VerdictValue, context: Context) -> Wait:
    """Return the wait for evidence: the first look, more traffic, or metrics that answer."""
    started = clock(candidate)
    assert started is not None
    check = context.next_check(started)
    if not candidate.verdicts:
        return Wait(reason="FirstCheck", what="the first analysis", who="the clock", until=check)
    first = next((v for v in candidate.verdicts if v.verdict is verdict and not v.advisory), candidate.verdicts[0])
    if verdict is VerdictValue.ERROR and first.metric == GOLDEN:
        return Wait(reason="GoldenOutdated", what=first.message, who="the model's owner", until=check)
    if verdict is VerdictValue.ERROR and first.metric == SPLIT:
        return Wait(reason="TrafficSplit", what=first.message, who="the gateway", until=check)
    if verdict is VerdictValue.ERROR:
        return Wait(reason="MetricsUnavailable", what=first.message, who="the metrics", until=check)
    return Wait(reason="Traffic", what=f"enough evidence: {first.message}", who="traffic", until=check)
