"""The golden requests: all of a fixed set were asked, so that what came back is exact and no sample.

Asked again they are no new evidence: only the last run of each revision counts, and it is never
added to an earlier one.
"""

from __future__ import annotations

from modelrelease.domain.counts import Evidence, GoldenCheck
from modelrelease.domain.status import Verdict, VerdictValue

METRIC = "golden"
UNFIT = "GoldenCompareUnfit"  # why nobody was asked, where the spec declares comparisons that the model can't meet


def golden(evidence: Evidence) -> Verdict | None:
    """Return the verdict on the last golden checks; None where none was made.

    Where the candidate could not be asked the verdict is advisory and says why: nothing is known of the model.
    A comparison that was declared and can't be made is an Error: somebody counts on it.
    The candidate's check comes first in the evidence, stable's after it. Where stable fails too, the
    golden set is out of date or something both need is broken: an Error, which blames nobody.
    """
    last: dict[str, GoldenCheck] = {}
    for check in sorted(evidence.golden, key=lambda check: check.at):
        last[check.revision] = check
    first = evidence.golden[0].revision if evidence.golden else None
    if first is None:
        return None
    candidate = last[first]
    if candidate.asked <= 0:
        return _unasked(candidate)
    others = [check for revision, check in last.items() if revision != first and check.asked > 0]
    stable = max(others, key=lambda check: check.at, default=None)
    bad = _bad(candidate)
    counted = f"{bad} of {candidate.asked} golden requests went wrong on the candidate"
    said = f"{counted}{f' ({candidate.message})' if bad and candidate.message else ''}"
    verdict = VerdictValue.FAIL if bad else VerdictValue.PASS
    if bad and stable is not None and _bad(stable) / stable.asked >= bad / candidate.asked:
        verdict = VerdictValue.ERROR
        said += f", and {_bad(stable)} of {stable.asked} on stable: the golden set may be out of date"
    return Verdict(
        metric=METRIC,
        verdict=verdict,
        message=said,
        estimate=bad / candidate.asked,
        baseline=_bad(stable) / stable.asked if stable else None,
        threshold=0.0,
        samples=candidate.asked,
    )


def _unasked(check: GoldenCheck) -> Verdict | None:
    if check.problem is None:
        return None
    said = f"no golden request was asked of the candidate: {check.problem.message}"
    if check.problem.reason == UNFIT:
        return Verdict(metric=METRIC, verdict=VerdictValue.ERROR, message=said)
    return Verdict(metric=METRIC, verdict=VerdictValue.INCONCLUSIVE, message=said, advisory=True)


def _bad(check: GoldenCheck) -> int:
    return min(check.asked, check.failed + check.not_finite + check.wrong)
