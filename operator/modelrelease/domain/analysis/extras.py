"""Verdicts that are no comparison of ratios: the budget, the split, pairs of answers, classes."""

from __future__ import annotations

import math

from modelrelease.domain.analysis import budget, drift, paired, split
from modelrelease.domain.analysis.exposure import Exposure
from modelrelease.domain.analysis.lanes import Lanes
from modelrelease.domain.analysis.pack import Carried
from modelrelease.domain.analysis.paired import Paired
from modelrelease.domain.analysis.verdicts import number, percent
from modelrelease.domain.counts import Evidence
from modelrelease.domain.policy import Analysis
from modelrelease.domain.status import Verdict, VerdictValue

SPLIT, BUDGET, ANSWERS, CLASSES = "traffic-split", "bad-requests", "answers", "classes"
_MOST_LOG = 700.0  # of what still is a finite number


def spent(policy: Analysis, contract: Lanes, carried: Carried, evidence: Evidence) -> Verdict | None:
    """Return the verdict on the exposure budget."""
    x_s, n_s, _, n_c, blocks = carried.tally[0].tolist()
    base = (x_s + 0.5) / (n_s + 1.0) if n_s > 0 else 0.0
    line = (float(contract.fail.a[0]), float(contract.fail.r[0]))
    most = budget.limit(budget=policy.bad_request_budget, base=base, line=line, ratio=n_c / n_s if n_s > 0 else 1.0)
    spent = carried.excess
    failed = spent >= most
    said = f"about {number(spent)} requests failed beyond what is allowed, of {number(most)} that the release may spoil"
    return Verdict(
        metric=BUDGET,
        verdict=VerdictValue.FAIL if failed else VerdictValue.PASS,
        message=said,
        estimate=spent,
        threshold=most,
        samples=int(n_c),
        blocks=int(blocks),
        query=evidence.error_query,
    )


def divided(carried: Carried, evidence: Evidence, exposure: Exposure) -> Verdict | None:
    """Return the verdict on the split of the traffic, None where nothing is split."""
    candidate, stable = carried.split
    if not exposure.split or candidate + stable <= 0:
        return None
    share = candidate / (candidate + stable)
    value = split.log_e_off(candidate=candidate, stable=stable, weight=exposure.weight)
    off = value >= math.log(split.THRESHOLD)
    total, wanted = number(candidate + stable), percent(exposure.weight)
    said = f"the candidate got {percent(share)} of {total} requests, {wanted} were wanted"
    if off:
        said += ": requests are missing or sent elsewhere, so that nothing else can be judged"
    return Verdict(
        metric=SPLIT,
        verdict=VerdictValue.ERROR if off else VerdictValue.PASS,
        message=said,
        estimate=share,
        threshold=exposure.weight,
        e_value=math.exp(min(value, 700.0)),
        samples=int(candidate + stable),
        query=evidence.error_query,
    )


def answers(known: Paired, *, failed: bool, accepted: float) -> Verdict | None:
    """Return the verdict on pairs of answers, None where there are none. Alone it never keeps a release waiting."""
    if known.count <= 0:
        return None
    proven = known.favour >= math.log(accepted)
    verdict = VerdictValue.FAIL if failed else VerdictValue.PASS if proven else VerdictValue.INCONCLUSIVE
    ends = {
        VerdictValue.FAIL: "; that it is worse is proven",
        VerdictValue.PASS: "; that it is no worse is proven",
        VerdictValue.INCONCLUSIVE: "; that it is no worse is not yet proven",
    }
    said = (
        f"the candidate answered {number(known.worse)} of {number(known.count)} inputs worse than stable "
        f"and {number(known.better)} better (allowed: {percent(paired.MARGIN)} more)"
    )
    return Verdict(
        metric=ANSWERS,
        verdict=verdict,
        message=said + ends[verdict],
        estimate=(known.worse - known.better) / known.count,
        threshold=paired.MARGIN,
        e_value=math.exp(min(known.against if failed else known.favour, _MOST_LOG)),
        samples=int(known.count),
        advisory=verdict is VerdictValue.INCONCLUSIVE,
    )


def classes(carried: Carried) -> Verdict | None:
    """Return what people should know of the predicted classes, None where they are not counted."""
    found = drift.largest(carried.classes)
    if found is None:
        return None
    name, before, now = found
    shifted = abs(now - before) >= drift.SHIFT and carried.classes.log_e >= math.log(drift.THRESHOLD)
    index = drift.stability_index(carried.classes)
    said = f"{percent(now)} of the candidate's answers are {name!r}, {percent(before)} of stable's"
    if index is not None:
        said += f" (stability index {index:.2f})"
    said += ": the largest shift of all classes" if shifted else ": no class shifted more"
    return Verdict(
        metric=CLASSES,
        verdict=VerdictValue.INCONCLUSIVE if shifted else VerdictValue.PASS,
        message=said,
        estimate=now - before,
        threshold=drift.SHIFT,
        e_value=math.exp(min(carried.classes.log_e, _MOST_LOG)),
        samples=int(carried.classes.totals()[1]),
        advisory=True,
    )
