"""The time that requests take at a quantile, candidate against stable.

From buckets a quantile is known as "at most this bound". What is compared is therefore the
share of candidate requests beyond a limit: the first bucket bound that is not below stable's
bound times `maxRatio`. A candidate whose true quantile is within the ratio is never beyond
it; one that is beyond may still be within the coarseness of the buckets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import truediv

from modelrelease.domain.analysis import proof
from modelrelease.domain.analysis.histogram import Histogram, common_bounds, next_bound, read
from modelrelease.domain.observed import Evidence
from modelrelease.domain.spec import Analysis
from modelrelease.domain.status import Verdict, VerdictValue


@dataclass(frozen=True, kw_only=True)
class _Arms:
    """Both histograms and the bounds they share."""

    candidate: Histogram
    stable: Histogram
    bounds: tuple[float, ...]


def latency(*, policy: Analysis, evidence: Evidence) -> Verdict:
    """Return the verdict on the candidate's latency at the policy's quantile."""
    metric = f"latency-p{100 * policy.latency.quantile:g}"
    empty = Verdict(metric=metric, verdict=VerdictValue.INCONCLUSIVE, message="", query=evidence.latency_query)
    if evidence.error is not None:
        return replace(empty, verdict=VerdictValue.ERROR, message=evidence.error.message)
    candidate, stable = read(evidence.candidate.latency), read(evidence.stable.latency)
    if candidate is None or stable is None:
        said = f"the latency histogram of {'stable' if candidate else 'the candidate'} has counts that make no sense"
        return replace(empty, verdict=VerdictValue.ERROR, message=said)
    known = replace(empty, samples=int(candidate.total))
    if candidate.total < 1:
        said = f"the latency of no candidate request is known yet: at least {policy.min_requests} are needed"
        return replace(known, message=said)
    if stable.total < 1:
        said = f"the latency of no stable request is known: nothing to compare {known.samples} requests with"
        return replace(known, message=said)
    arms = _Arms(candidate=candidate, stable=stable, bounds=common_bounds(candidate, stable))
    return _compare(known=known, policy=policy, arms=arms)


def _compare(*, known: Verdict, policy: Analysis, arms: _Arms) -> Verdict:
    wanted, candidate = policy.latency, arms.candidate
    tail = 1.0 - wanted.quantile
    estimate = candidate.quantile(tail, bounds=arms.bounds)
    baseline = arms.stable.quantile(tail, bounds=arms.bounds)
    limit = _limit(policy=policy, arms=arms, ratio=truediv if _enough(policy, arms.stable) else proof.at_least)
    known = replace(known, estimate=estimate, baseline=baseline, threshold=limit)
    if baseline is None or limit is None:
        highest = f"{arms.bounds[-1]:g} ms" if arms.bounds else "none that both versions share"
        said = f"stable's latency times {wanted.max_ratio:g} is beyond the highest bound of the histogram ({highest})"
        return replace(known, message=f"{said}: it can't tell slow from too slow")
    took = f"at most {estimate:g}" if estimate is not None else f"more than {arms.bounds[-1]:g}"
    said = (
        f"{100 * wanted.quantile:g} % of requests took {took} ms against at most {baseline:g} ms of stable "
        f"(allowed: at most {limit:g} ms, the bucket of {wanted.max_ratio:g} times stable's) "
        f"from {known.samples} requests"
    )
    if _proven(policy=policy, arms=arms):
        return replace(known, verdict=VerdictValue.FAIL, message=f"{said}; {candidate.beyond(limit):.0f} took longer")
    if not _enough(policy, candidate):
        return replace(known, message=f"{said}, of at least {policy.min_requests} that are needed")
    if estimate is None or estimate > limit:
        return replace(known, message=f"{said}: slower than allowed, but not yet proven by so few requests")
    return replace(known, verdict=VerdictValue.PASS, message=said)


def _enough(policy: Analysis, arm: Histogram) -> bool:
    return arm.total >= policy.min_requests


def _limit(*, policy: Analysis, arms: _Arms, ratio: Callable[[float, float], float]) -> float | None:
    """Return the bound that the candidate's quantile has to be within.

    `ratio` says how stable's quantile is read off its counts. From few requests a Pass takes
    the lowest that they allow: one slow request of three must not excuse a slow candidate.
    A Fail takes the highest.
    """
    baseline = arms.stable.quantile(1.0 - policy.latency.quantile, bounds=arms.bounds, ratio=ratio)
    return None if baseline is None else next_bound(baseline * policy.latency.max_ratio, arms.bounds)


def _proven(*, policy: Analysis, arms: _Arms) -> bool:
    """Tell whether the candidate's quantile is beyond the limit, for sure."""
    limit = _limit(policy=policy, arms=arms, ratio=proof.at_most)
    if limit is None:
        return False
    beyond, total = arms.candidate.beyond(limit), arms.candidate.total
    tail = 1.0 - policy.latency.quantile
    return proof.may_fail(policy=policy, hits=beyond, requests=total) and proof.at_least(beyond, total) > tail
