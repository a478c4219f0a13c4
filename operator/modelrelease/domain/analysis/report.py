"""All verdicts of a look: which metric is to blame, and whether anything may pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from modelrelease.domain.analysis import comparison, extras
from modelrelease.domain.analysis.comparison import LEAST_BLOCKS, View
from modelrelease.domain.analysis.exposure import Exposure
from modelrelease.domain.analysis.golden import golden
from modelrelease.domain.analysis.kernel import Array
from modelrelease.domain.analysis.lanes import Lanes
from modelrelease.domain.analysis.metrics import PAIRS_WEIGHT, Metric
from modelrelease.domain.analysis.pack import MIRRORED, Carried
from modelrelease.domain.analysis.paired import joined, of_signs
from modelrelease.domain.analysis.reading import Look
from modelrelease.domain.analysis.values import values
from modelrelease.domain.counts import Evidence
from modelrelease.domain.policy import Analysis
from modelrelease.domain.status import Verdict, VerdictValue

AMBER = 4.0  # e-values against the candidate that sum to this let nothing pass
_MOST_LOG = 700.0  # of what still is a finite number

__all__ = ["AMBER", "LEAST_BLOCKS", "is_amber", "report", "unreadable"]


def unreadable(known: Sequence[Metric], evidence: Evidence, message: str) -> tuple[Verdict, ...]:
    """Return an Error for every metric: the evidence or the state could not be read."""
    return tuple(
        Verdict(metric=m.name, verdict=VerdictValue.ERROR, message=message, query=_query(m, evidence)) for m in known
    )


def is_amber(carried: Carried) -> bool:
    """Tell whether the e-values against the candidate sum to `AMBER`."""
    return float(_against(carried).sum()) >= AMBER


def _against(carried: Carried) -> Array:
    """Return the e-value against the candidate of each metric: the wealth of both its sources."""
    wealth = carried.memory.fail_e
    live = sum(not name.startswith(MIRRORED) for name in carried.names)
    return wealth[:live] + wealth[live:] if len(wealth) > live else wealth


def report(
    *,
    policy: Analysis,
    known: Sequence[Metric],
    contract: Lanes,
    carried: Carried,
    look: Look,
    evidence: Evidence,
    exposure: Exposure,
) -> tuple[Verdict, ...]:
    """Return the verdicts of all metrics, of budget and split, of golden requests and single answers.

    One error rate alpha holds for all metrics of a release together: a failure takes the weighted mean of
    their e-values, which is an e-value under any dependence, and the metric that has most of it is to blame.
    """
    against = _against(carried)
    # Live inputs add up in the state; the golden ones are a fixed sample that counts once, however often it is asked.
    paired = joined(carried.paired, of_signs(evidence.compared.signs if evidence.compared else ()))
    pairs = math.exp(min(paired.against, _MOST_LOG))
    shares = numpy.append(contract.weight[: len(known)] * against, PAIRS_WEIGHT * pairs)
    failed = int(numpy.argmax(shares)) if float(shares.sum()) >= 1.0 / contract.alpha else None
    amber = int(numpy.argmax(against)) if is_amber(carried) else None
    shadow_only = not exposure.weight > 1e-4 and len(carried.names) > len(known)
    found = []
    for place, metric in enumerate(known):
        view = View(
            metric=metric,
            carried=carried,
            contract=contract,
            policy=policy,
            exposure=exposure,
            lane=place + (len(known) if shadow_only else 0),
            live=place,
            against=float(against[place]),
            query=_query(metric, evidence),
        )
        found.append(
            comparison.verdict(
                view,
                problem=look.problems.get(metric.name),
                failed=failed == place,
                amber=amber == place,
                blame=float(against[0]),
            )
        )
    found += [values(metric, evidence=evidence) for metric in policy.metrics if metric.value is not None]
    further = (
        extras.spent(policy, contract, carried, evidence),
        extras.divided(carried, evidence, exposure),
        extras.answers(paired, failed=failed == len(known), accepted=1.0 / contract.beta),
        extras.classes(carried),
        golden(evidence) if policy.golden.enabled else None,
    )
    return (*found, *(verdict for verdict in further if verdict is not None))


def _query(metric: Metric, evidence: Evidence) -> str:
    return evidence.latency_query if metric.latency else evidence.error_query
