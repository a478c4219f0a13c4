"""When a difference between the arms counts as proven.

A Fail sends traffic back, so it must be more than bad luck: the candidate's ratio at its
lower bound has to exceed what is allowed with stable's ratio at its upper bound. Each bound
has 99.5 % confidence, together 99 %. Comparing with stable's plain ratio instead would blame
the candidate whenever stable, with few requests, happened to have no failure yet. The looks
of one window are repeated, which costs some of that confidence in principle; the margin
that the policy allows on top keeps a candidate that equals stable far from the bound.

A Pass is an estimate on at least `minRequests`, not a certificate.
"""

from __future__ import annotations

from modelrelease.domain.analysis import bounds
from modelrelease.domain.spec import Analysis

CONFIDENCE = 0.995

# A candidate may fail before `minRequests`: that number says how much a Pass needs, and may be
# large; a candidate that fails everything must not burn as many requests first. But one
# client that repeats a bad request is no proof, however small the binomial tail: requests
# are not independent, so that many failures are the least.
LEAST_HITS_OF_AN_EARLY_FAIL = 10


def may_fail(*, policy: Analysis, hits: float, requests: float) -> bool:
    """Tell whether there is enough to fail the candidate at all."""
    return requests >= policy.min_requests or hits >= LEAST_HITS_OF_AN_EARLY_FAIL


def at_least(hits: float, requests: float) -> float:
    """Return the ratio that the true one exceeds, as a Fail needs it."""
    return bounds.lower(hits=hits, trials=requests, confidence=CONFIDENCE)


def at_most(hits: float, requests: float) -> float:
    """Return the ratio that the true one stays below, as a Fail needs it."""
    return bounds.upper(hits=hits, trials=requests, confidence=CONFIDENCE)
