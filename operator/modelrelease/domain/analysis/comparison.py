"""The verdict on one metric: the comparison of the arms in numbers, bounds and one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy

from modelrelease.domain.analysis import kernel, portfolio, sequences
from modelrelease.domain.analysis.exposure import Exposure
from modelrelease.domain.analysis.kernel import Counts, Guess, Line
from modelrelease.domain.analysis.lanes import Lanes
from modelrelease.domain.analysis.metrics import OBJECTIVE, Metric
from modelrelease.domain.analysis.pack import MIRRORED, Carried
from modelrelease.domain.analysis.verdicts import number, percent
from modelrelease.domain.policy import Analysis
from modelrelease.domain.status import Verdict, VerdictValue

BLAME = 4.0  # an absolute objective blames the candidate only if the comparison with stable is at least this
LEAST_BLOCKS = 3


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything that the verdict of one metric is made of."""

    metric: Metric
    carried: Carried
    contract: Lanes
    policy: Analysis
    exposure: Exposure
    lane: int  # whose counts are told: live ones, or mirrored ones in the shadow
    live: int
    against: float  # e-value against the candidate, both sources together
    query: str

    @property
    def tally(self) -> tuple[float, float, float, float, int]:
        """The step's counts: x_s, n_s, x_c, n_c, blocks."""
        x_s, n_s, x_c, n_c, blocks = self.carried.tally[self.lane].tolist()
        return x_s, n_s, x_c, n_c, int(blocks)

    @property
    def proven(self) -> bool:
        """Whether a full mirror proved it."""
        name = MIRRORED + self.metric.name
        names = self.carried.names
        return name in names and bool(self.carried.proven[names.index(name)])

    @property
    def favour(self) -> float:
        """The e-value for the candidate, the best of this step."""
        return float(self.carried.memory.pass_best[self.lane])


def verdict(view: View, *, problem: str | None, failed: bool, amber: bool, blame: float) -> Verdict:
    """Return the verdict; `problem` is what made no sense, `blame` the e-value of the comparison of errors."""
    x_s, n_s, x_c, n_c, blocks = view.tally
    one_sample = view.metric.margin is None
    base = view.metric.objective if one_sample else (x_s / n_s if n_s > 0 else None)
    a, r = view.metric.pass_line
    allowed = None if base is None else a + (0.0 if one_sample else r * base)
    low, high = _excess(view, failed=failed)
    known = Verdict(
        metric=view.metric.name,
        verdict=VerdictValue.INCONCLUSIVE,
        message="",
        estimate=x_c / n_c if n_c > 0 else None,
        baseline=None if one_sample else base,
        threshold=allowed,
        lower=low,
        upper=high,
        e_value=view.favour,
        samples=int(n_c),
        blocks=blocks,
        query=view.query,
    )
    return _decided(view, known, problem=problem, failed=failed, amber=amber, blame=blame)


def _decided(view: View, known: Verdict, *, problem: str | None, failed: bool, amber: bool, blame: float) -> Verdict:
    """Return the verdict: a proven failure first, then what can't be judged, then the rest."""
    said = _compared(view, known)
    if failed and known.estimate is not None:
        known = replace(known, e_value=view.against)
        if view.metric.name == OBJECTIVE and view.exposure.controlled and blame < BLAME:
            said += "; but stable may fail as often: the comparison does not blame the candidate yet"
            return replace(known, message=said)
        return replace(known, verdict=VerdictValue.FAIL, message=f"{said}; that it is worse is proven")
    if problem is not None:
        return replace(known, verdict=VerdictValue.ERROR, message=problem)
    if known.estimate is None:
        who = "copy of a request" if view.lane != view.live else "request"
        return replace(known, message=f"no {who} has been counted for the candidate yet: {view.metric.what.strip()}?")
    if known.baseline is None and view.metric.margin is not None:
        message = f"no request of stable to compare {number(known.samples)} of the candidate with"
        return replace(known, message=message)
    if amber:
        message = f"{said}; the evidence against it grows (e-value {view.against:.1f}): nothing advances meanwhile"
        return replace(known, message=message)
    return _accepted(view, known, said)


def _accepted(view: View, known: Verdict, said: str) -> Verdict:
    least = view.policy.min_requests
    if known.samples < least:
        return replace(known, message=f"{said}, of at least {number(least)} that are needed")
    if view.metric.margin is None:
        if known.estimate is not None and known.threshold is not None and known.estimate <= known.threshold:
            return replace(known, verdict=VerdictValue.PASS, message=said)
        return replace(known, message=f"{said}: more than that, but not proven")
    if view.proven:
        return replace(known, verdict=VerdictValue.PASS, message=f"{said}; a full mirror proved that it is no worse")
    if view.favour >= 1.0 / view.contract.beta and known.blocks >= LEAST_BLOCKS:
        return replace(known, verdict=VerdictValue.PASS, message=f"{said}; that it is no worse is proven")
    if known.estimate is not None and known.threshold is not None and known.estimate > known.threshold:
        return replace(known, message=f"{said}: more than allowed, but not yet proven")
    wanted = needed(view)
    more = f", of about {number(wanted)} that are needed" if wanted is not None and wanted > known.samples else ""
    return replace(known, message=f"{said}{more}; that it is no worse is not yet proven")


def _compared(view: View, known: Verdict) -> str:
    """Return what was counted, in words: `1.02 % of requests failed against 0.98 % of stable's (...)`."""
    if known.estimate is None:
        return f"nothing {view.metric.what}"
    who = " of the mirrored" if view.lane != view.live else ""
    said = f"{percent(known.estimate)} {view.metric.what}"
    if known.baseline is not None and known.threshold is not None:
        said += f" against {percent(known.baseline)} of stable's (allowed: {percent(known.threshold)})"
    elif known.threshold is not None and view.metric.margin is None:
        said += f" (objective: {percent(known.threshold)})"
    return f"{said}, from {number(known.samples)}{who} requests"


def _excess(view: View, *, failed: bool) -> tuple[float | None, float | None]:
    """Return bounds of the candidate's ratio less what is allowed to it, valid at all looks of the step.

    Each arm's ratio has a confidence sequence of half the error; counts are divided by phi. A verdict
    that is proven is a bound too: the excess of a Pass is below 0.
    """
    x_s, n_s, x_c, n_c, blocks = view.tally
    if n_c <= 0 or blocks == 0:
        return None, None
    one_sample = view.metric.margin is None
    memory, alpha = view.carried.memory, view.contract.alpha
    phi = float(
        portfolio.tempering(memory.noise, memory.floor, n_s=numpy.array(n_s / blocks), n_c=numpy.array(n_c / blocks))[
            view.lane
        ]
    )
    share = alpha if one_sample else 0.5 * alpha
    low_c, high_c = sequences.bounds(x=x_c / phi, n=n_c / phi, alpha=share)
    a, r = view.metric.pass_line
    if one_sample:
        return low_c - a, high_c - a
    if n_s <= 0:
        return None, None
    low_s, high_s = sequences.bounds(x=x_s / phi, n=n_s / phi, alpha=share)
    low, high = low_c - a - r * high_s, high_c - a - r * low_s
    if view.favour >= 1.0 / view.contract.beta:
        high = min(high, 0.0)
    if failed:
        low = max(low, view.metric.fail_line[0] - a + (view.metric.fail_line[1] - r) * high_s)
    return min(low, high), high


def needed(view: View) -> float | None:
    """Return about how many candidate requests a candidate as good as stable needs to pass (Wald's approximation)."""
    x_s, n_s, _, n_c, blocks = view.tally
    if n_s <= 0 or n_c <= 0 or blocks == 0:
        return None
    memory = view.carried.memory
    base = min(max((x_s + 0.5) / (n_s + 1.0), 1e-6), 1.0 - 1e-6)
    a, r = view.metric.pass_line
    each = [numpy.array([value]) for value in (base * n_s / blocks, n_s / blocks, base * n_c / blocks, n_c / blocks)]
    guess, line = Guess(numpy.array([base]), numpy.array([base])), Line(numpy.array([a]), numpy.array([r]))
    gain = float(kernel.log_e(counts=Counts(*each), guess=guess, line=line)[0])
    phi = float(portfolio.tempering(memory.noise, memory.floor, n_s=each[1], n_c=each[3])[view.lane])
    if gain <= 0.0:
        return None
    wanted = math.log(1.0 / (view.contract.beta * portfolio.START_PASS)) + 0.5
    return float(f"{wanted * phi / gain * n_c / blocks:.2g}")
