"""The way of a candidate to its first exposure: what has to be known before it, and with which ladder it begins."""

from __future__ import annotations

from dataclasses import replace

from modelrelease.domain import analysis
from modelrelease.domain.analysis.golden import golden
from modelrelease.domain.context import RECHECK, Context, Wait
from modelrelease.domain.counts import Evidence, GoldenCheck, History
from modelrelease.domain.planning import plan_ladder
from modelrelease.domain.policy import Rollout
from modelrelease.domain.problem import Problem
from modelrelease.domain.status import Candidate, Stage, Status, VerdictValue, Weight


def expose(context: Context) -> Status | Wait:
    """Begin the analysis with what stable showed before, and with it the first exposure: the shadow, or step 1.

    Without metrics there is no exposure at all: nobody would see what it does.
    """
    evidence, candidate, rollout = context.observed.evidence, context.candidate, context.spec.rollout
    until = context.after(context.now, RECHECK)
    if evidence is None or evidence.history is None:
        what = evidence.error.message if evidence and evidence.error else "the metrics to tell what stable did before"
        return Wait(reason="MetricsUnavailable", what=what, who="the metrics", until=until)
    block = min(evidence.scrape or rollout.analysis.interval, rollout.analysis.interval)
    state = analysis.begin(policy=rollout.analysis, history=evidence.history, block=block, at=context.now)
    if rollout.analysis.golden.enabled and not _golden_known(candidate, evidence):
        problem = next((check.problem for check in _checks(candidate, evidence) if check.problem), None)
        what = f"the golden requests to be answered{f': {problem.message}' if problem else ''}"
        return Wait(reason="Golden", what=what, who="Triton", until=until)
    answers = golden(evidence)
    if answers is not None and answers.verdict is VerdictValue.FAIL:
        return context.lose(Problem(reason="GoldenFailed", message=answers.message))
    if answers is not None and answers.verdict is VerdictValue.ERROR:
        return Wait(reason="GoldenOutdated", what=answers.message, who="the model's owner", until=until)
    begun = replace(candidate, analysis=state, ladder=ladder(rollout, evidence.history, block=block))
    if rollout.shadow is not None and rollout.shadow.duration > 0:
        return context.with_candidate(begun.at(Stage.SHADOW, context.now))
    return first_step(replace(context, status=context.with_candidate(begun)))


def _golden_known(candidate: Candidate, evidence: Evidence) -> bool:
    """Tell whether the candidate was asked its golden requests, or has none."""
    return any(check.problem is None or not check.problem.waiting for check in _checks(candidate, evidence))


def _checks(candidate: Candidate, evidence: Evidence) -> list[GoldenCheck]:
    return [check for check in evidence.golden if check.revision == candidate.revision]


def ladder(rollout: Rollout, history: History, *, block: float) -> tuple[int, ...]:
    """Return the steps' weights: those of the spec, else planned for the traffic that stable had."""
    if rollout.steps:
        return tuple(step.weight for step in rollout.steps)
    requests = sum(window.requests for window in history.windows)
    failures = sum(window.failures for window in history.windows)
    seconds = history.block * len(history.windows)
    return plan_ladder(
        policy=rollout,
        requests_per_second=requests / seconds if seconds else 0.0,
        error_ratio=failures / requests if requests else 0.0,
        block=block,
    ).weights


def first_step(context: Context) -> Status:
    """Return the status in which the candidate gets its first traffic."""
    candidate = context.candidate
    first = replace(
        candidate.at(Stage.STEP, context.now),
        step=0,
        weight=Weight(desired=candidate.ladder[0]),
        step_started_at=None,
        verdicts=(),
        verdicts_at=None,
        approved=False,
    )
    return context.with_candidate(first)
