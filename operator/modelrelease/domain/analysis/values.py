"""Metrics of kind `{value, threshold}`: one number of the user's own query, held against a fixed threshold.

No test: the query itself has to smooth. What is not there says nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace

from modelrelease.domain.counts import Evidence
from modelrelease.domain.policy import CustomMetric
from modelrelease.domain.status import Verdict, VerdictValue


def values(metric: CustomMetric, *, evidence: Evidence) -> Verdict:
    """Return the verdict on a value: it must not exceed its threshold."""
    found = next((value for value in evidence.values if value.name == metric.name), None)
    known = Verdict(
        metric=metric.name,
        verdict=VerdictValue.INCONCLUSIVE,
        message=f"the query of {metric.name} returned nothing: it must return one number",
        threshold=metric.threshold,
        query=metric.value or "",
    )
    if (problem := evidence.problems.get(metric.name)) is not None:
        return replace(known, verdict=VerdictValue.ERROR, message=problem.message)
    if found is None or found.total <= 0:
        return known
    if not math.isfinite(found.bad) or metric.threshold is None:
        message = f"the query of {metric.name} returned {found.bad:g}: it must return one finite number"
        return replace(known, verdict=VerdictValue.ERROR, message=message)
    failed = found.bad > metric.threshold
    said = f"{metric.name} is {found.bad:.4g}, allowed is at most {metric.threshold:.4g}"
    verdict = VerdictValue.FAIL if failed else VerdictValue.PASS
    return replace(known, verdict=verdict, message=said, estimate=found.bad, samples=1)
