"""The verdicts: which metrics there are, and how they combine."""

from __future__ import annotations

from collections.abc import Iterable

from modelrelease.domain.analysis.error_ratio import error_ratio
from modelrelease.domain.analysis.latency import latency
from modelrelease.domain.observed import Evidence
from modelrelease.domain.spec import Analysis
from modelrelease.domain.status import Verdict, VerdictValue

_WORST_FIRST = (VerdictValue.FAIL, VerdictValue.ERROR, VerdictValue.INCONCLUSIVE)


def judge(*, policy: Analysis, evidence: Evidence) -> tuple[Verdict, ...]:
    """Return one verdict per metric."""
    return (error_ratio(policy=policy, evidence=evidence), latency(policy=policy, evidence=evidence))


def overall(verdicts: Iterable[Verdict]) -> VerdictValue:
    """Return what the verdicts say together: the worst of them; no verdict at all passes nothing.

    A failure is proven by its own metric and stands even where another could not be read.
    """
    values = {verdict.verdict for verdict in verdicts}
    if not values:
        return VerdictValue.INCONCLUSIVE
    return next((value for value in _WORST_FIRST if value in values), VerdictValue.PASS)
