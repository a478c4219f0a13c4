"""The share of requests that fail, candidate against stable."""

from __future__ import annotations

import math
from dataclasses import replace

from modelrelease.domain.analysis import proof
from modelrelease.domain.observed import Arm, Evidence
from modelrelease.domain.spec import Analysis
from modelrelease.domain.status import Verdict, VerdictValue

METRIC = "error-ratio"


def error_ratio(*, policy: Analysis, evidence: Evidence) -> Verdict:
    """Return the verdict on the candidate's error ratio."""
    candidate, stable = evidence.candidate, evidence.stable
    empty = Verdict(metric=METRIC, verdict=VerdictValue.INCONCLUSIVE, message="", query=evidence.error_query, samples=0)
    if evidence.error is not None:
        return replace(empty, verdict=VerdictValue.ERROR, message=evidence.error.message)
    for name, arm in (("candidate", candidate), ("stable", stable)):
        if not _sound(arm):
            said = f"the {name}'s counts make no sense: {arm.failures:g} failures of {arm.requests:g} requests"
            return replace(empty, verdict=VerdictValue.ERROR, message=said)
    known = replace(empty, samples=int(candidate.requests))
    if candidate.requests < 1:
        said = f"no request has reached the candidate yet: at least {policy.min_requests} are needed"
        return replace(known, message=said)
    known = replace(known, estimate=candidate.failures / candidate.requests)
    if stable.requests < 1:
        said = f"no request has reached stable: nothing to compare {known.samples} candidate requests with"
        return replace(known, message=said)
    return _compare(known=known, policy=policy, candidate=candidate, stable=stable)


def _compare(*, known: Verdict, policy: Analysis, candidate: Arm, stable: Arm) -> Verdict:
    ratio, allowed = candidate.failures / candidate.requests, policy.error_rate.max_increase
    threshold = _baseline(policy=policy, stable=stable) + allowed
    known = replace(known, baseline=stable.failures / stable.requests, threshold=threshold)
    said = (
        f"error ratio {ratio:.2%} against {known.baseline:.2%} of stable "
        f"(allowed: at most {100 * allowed:.2f} points more) from {known.samples} requests"
    ).replace("%", " %")
    least = proof.at_least(candidate.failures, candidate.requests)
    proven = least > proof.at_most(stable.failures, stable.requests) + allowed
    if proven and proof.may_fail(policy=policy, hits=candidate.failures, requests=candidate.requests):
        said += f"; it is at least {least:.2%}".replace("%", " %")
        return replace(known, verdict=VerdictValue.FAIL, message=said)
    if candidate.requests < policy.min_requests:
        return replace(known, message=f"{said}, of at least {policy.min_requests} that are needed")
    if ratio > threshold:
        return replace(known, message=f"{said}: more than allowed, but not yet proven by so few requests")
    return replace(known, verdict=VerdictValue.PASS, message=said)


def _baseline(*, policy: Analysis, stable: Arm) -> float:
    """Return stable's ratio as a Pass may use it.

    From few requests that is its lower bound: one failure of three must not excuse a
    candidate that fails every third request.
    """
    if stable.requests >= policy.min_requests:
        return stable.failures / stable.requests
    return proof.at_least(stable.failures, stable.requests)


def _sound(arm: Arm) -> bool:
    return math.isfinite(arm.requests) and math.isfinite(arm.failures) and 0 <= arm.failures <= arm.requests
