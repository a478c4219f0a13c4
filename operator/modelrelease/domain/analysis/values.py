"""Metrics of kind `{value, threshold}`: one number of the user's own query, held against a fixed threshold.

No test: the query itself has to smooth. Two looks in a row decide, so that a single outlier neither sends the
traffic back nor lets a step pass. What is not there says nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace

from modelrelease.domain.counts import CustomCount, Evidence
from modelrelease.domain.policy import CustomMetric
from modelrelease.domain.status import Verdict, VerdictValue


def values(metric: CustomMetric, *, evidence: Evidence) -> Verdict:
    """Return the verdict on a value, which must not exceed its threshold: this look and the one before must agree."""
    found, before = (_of(metric, values) for values in (evidence.values, evidence.values_before))
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
    if before is None or before.total <= 0 or not math.isfinite(before.bad):
        said += "; one look alone decides nothing"
        return replace(known, message=said, estimate=found.bad, samples=1)
    if failed != (before.bad > metric.threshold):
        said += f"; at the look before it was {before.bad:.4g}, and two looks must agree"
        return replace(known, message=said, estimate=found.bad, samples=2)
    verdict = VerdictValue.FAIL if failed else VerdictValue.PASS
    return replace(known, verdict=verdict, message=said, estimate=found.bad, samples=2)


def _of(metric: CustomMetric, values: tuple[CustomCount, ...]) -> CustomCount | None:
    return next((value for value in values if value.name == metric.name), None)
