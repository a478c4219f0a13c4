"""Offline gates: the build's metrics against the spec, before any traffic.

The operator judges stored metrics, so that a changed gate needs no new build. All statistics are the builder's: its
record has exact one-sided 95 % bounds of each metric and of its change against another model on the same rows, so
that here numbers are compared, with the same verdict that the builder would give (`docs/evaluation.md`). A record of
an older builder has no bounds: there the estimate decides. A metric that the build did not report fails its gate.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelrelease.domain.metric_kinds import Role, lower_is_better, role
from modelrelease.domain.observed import BuildResult, Metric
from modelrelease.domain.spec import Against, Gate, OnInconclusive
from modelrelease.domain.status import VerdictValue

Interval = tuple[float | None, float | None]
Change = tuple[float | None, ...]

#: Equal numbers must not differ for the last bit of a float.
_SLACK = 1e-9
#: The same file gave the same answers: nothing is left to chance.
_SAME: Change = (0.0, 0.0, 1.0, 1.0)
_NO_BOUND: Change = (None, None, None, None)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of one gate, and why, in a sentence."""

    gate: Gate
    verdict: VerdictValue
    message: str

    @property
    def blocks(self) -> bool:
        """Whether it keeps the model from traffic."""
        unsure = self.verdict is VerdictValue.INCONCLUSIVE and self.gate.on_inconclusive is OnInconclusive.BLOCK
        return self.verdict is VerdictValue.FAIL or unsure


@dataclass(frozen=True, kw_only=True)
class _Other:
    """The model that a gate compares with.

    `change` are bounds of own less other, then of own over other; None where a record knows of no bounds at all.
    """

    metric: Metric
    change: Change | None


@dataclass(frozen=True, kw_only=True)
class _Question:
    """Is a quantity at least (at most, where lower is better) `limit`? `holds` is what the estimates say.

    The quantity is the metric, its change, or its ratio to the other's, and `interval` its bounds; None: not recorded.
    """

    limit: float
    interval: Interval | None
    holds: bool
    asked: str


def failed_gate(*, gates: tuple[Gate, ...], result: BuildResult, stable: BuildResult | None) -> str | None:
    """Return a sentence about the first gate that keeps a model from traffic, None if none does.

    `stable` is what the stable revision was built as; None on a first release, where gates against Stable have
    nothing to compare with and hold.
    """
    verdicts = judge(gates=gates, result=result, stable=stable)
    return next((verdict.message for verdict in verdicts if verdict.blocks), None)


def judge(*, gates: tuple[Gate, ...], result: BuildResult, stable: BuildResult | None) -> list[Judged]:
    """Return one verdict per gate."""
    return [_judge(gate, result, stable) for gate in gates]


def _judge(gate: Gate, result: BuildResult, stable: BuildResult | None) -> Judged:
    def said(verdict: VerdictValue, why: str) -> Judged:
        return Judged(gate=gate, verdict=verdict, message=f"gate {gate.metric}: {why}")

    own = result.metrics.get(gate.metric)
    if own is None:
        known = ", ".join(sorted(result.metrics)) or "none"
        return said(VerdictValue.FAIL, f"the build reported no such metric (it reported: {known})")
    if gate.threshold is not None:
        question = _of_threshold(gate, own)
    else:
        if gate.against is Against.STABLE and stable is None:
            return said(VerdictValue.PASS, f"{_told(own)}; there is no stable version yet to compare it with")
        other = _other(gate, own, result, stable)
        if other is None:
            why = f"there is no {gate.metric} of {gate.against} to compare {own.value:.4g} with"
            return said(VerdictValue.FAIL, why)
        question = _of_comparison(gate, own, other)
    verdict, why = _verdict(gate, own, question)
    return said(verdict, f"{_told(own)}, {question.asked}{why}")


def _other(gate: Gate, own: Metric, result: BuildResult, stable: BuildResult | None) -> _Other | None:
    """Return the other model's metric and the change against it, paired on the same rows wherever there is a pair."""
    name = gate.metric
    if gate.against is Against.SOURCE:
        source = result.metrics.get(f"{name}.source")
        return _Other(metric=source, change=_recorded(own, own.source)) if source else None
    assert stable is not None
    if stable.artifact.digest == result.artifact.digest:
        return _Other(metric=own, change=_SAME)
    beside = result.metrics.get(f"{name}.stable")
    if beside is not None and result.compared == stable.artifact.digest:
        return _Other(metric=beside, change=_recorded(own, own.stable))
    theirs = stable.metrics.get(name)
    if theirs is None:
        return None
    if stable.compared == result.artifact.digest and theirs.stable:  # a revert: stable was measured against this one
        return _Other(metric=theirs, change=_reversed(theirs.stable))
    return _Other(metric=theirs, change=_unpaired(own, theirs))


def _recorded(own: Metric, change: Change) -> Change | None:
    """Return what a build recorded of a change; one that gives bounds and none of this says that none exists."""
    return change or (_NO_BOUND if own.bounds else None)


def _reversed(change: Change) -> Change:
    low, high, ratio_low, ratio_high = change[:4]
    return (
        None if high is None else -high,
        None if low is None else -low,
        1 / ratio_high if ratio_high else None,
        1 / ratio_low if ratio_low else None,
    )


def _unpaired(own: Metric, theirs: Metric) -> Change | None:
    """Return bounds of the change of different rows, from those of each side at half of alpha."""
    if not own.bounds or not theirs.bounds:
        return None
    low, high = own.half
    other_low, other_high = theirs.half
    return (
        None if low is None or other_high is None else low - other_high,
        None if high is None or other_low is None else high - other_low,
        None if low is None or low < 0 or not other_high or other_high < 0 else low / other_high,
        None if high is None or high < 0 or not other_low or other_low < 0 else high / other_low,
    )


def _of_threshold(gate: Gate, own: Metric) -> _Question:
    assert gate.threshold is not None
    sign = -1.0 if lower_is_better(gate.metric) else 1.0
    bound = "at most" if sign < 0 else "at least"
    return _Question(
        limit=gate.threshold,
        interval=own.interval,
        holds=sign * (own.value - gate.threshold) >= -_slack(gate.threshold),
        asked=f"required {bound} {gate.threshold:g}",
    )


def _of_comparison(gate: Gate, own: Metric, other: _Other) -> _Question:
    sign = -1.0 if lower_is_better(gate.metric) else 1.0
    reference, change = other.metric.value, other.change
    loss = sign * (reference - own.value)
    moved = f"worse by {loss:.4g}" if loss >= 0 else f"better by {-loss:.4g}"
    percent = gate.percent_max_degradation is not None or gate.percent_min_improvement is not None
    allowed = gate.percent_max_degradation if percent else gate.max_degradation
    wanted = gate.percent_min_improvement if percent else gate.min_improvement
    gain = wanted if wanted is not None else -(allowed or 0.0)
    condition = f"required {wanted:g}" if wanted is not None else f"allowed {allowed:g}"
    if percent and gain:  # no percent of it at all is no difference, of which more is known
        limit = 1 + sign * gain / 100
        interval, distance = _part(change, 2), own.value - limit * reference
    else:
        limit = sign * gain
        interval, distance = _part(change, 0), own.value - reference - limit
    return _Question(
        limit=limit,
        interval=interval,
        holds=sign * distance >= -_slack(limit),
        asked=f"against {reference:.4g} of {gate.against}, {moved}{_sure(change, sign)}, "
        f"{condition}{' %' if percent else ''}",
    )


def _verdict(gate: Gate, own: Metric, question: _Question) -> tuple[VerdictValue, str]:
    by_estimate = VerdictValue.PASS if question.holds else VerdictValue.FAIL
    kind = role(gate.metric)
    if kind is Role.MEASURED:
        return by_estimate, ""
    if question.interval is None:
        return by_estimate, " (by the estimate alone: this build's record has no bounds)"
    (low, high), slack = question.interval, _slack(question.limit)
    if lower_is_better(gate.metric):
        proven = high is not None and high <= question.limit + slack
        refuted = low is not None and low >= question.limit - slack
    else:
        proven = low is not None and low >= question.limit - slack
        refuted = high is not None and high <= question.limit + slack
    if refuted and not proven:
        return VerdictValue.FAIL, "; that is refuted"
    if proven or kind is Role.TRIPWIRE:
        return VerdictValue.PASS, ""
    if not question.holds and own.interval == (None, None):
        return VerdictValue.FAIL, ""  # no bound exists, so nothing but the estimate can speak, and it says no
    seen = "prove" if question.holds else "prove or refute"
    rows = f"{own.rows} rows do not {seen} it" if own.rows else f"the rows do not {seen} it"
    return VerdictValue.INCONCLUSIVE, f"; {rows}: take more test rows, ask for less, or set onInconclusive: Allow"


def _told(metric: Metric) -> str:
    rows = f" on {metric.rows} rows" if metric.rows else ""
    low, high = metric.interval or (None, None)
    known = [f"at least {low:.4g}"] if low is not None else []
    known += [f"at most {high:.4g}"] if high is not None else []
    return f"{metric.value:.4g}{rows}" + (f" (95 % sure: {', '.join(known)})" if known else "")


def _part(change: Change | None, at: int) -> Interval | None:
    return None if change is None else (change[at], change[at + 1])


def _sure(change: Change | None, sign: float) -> str:
    """Return how much worse it may be, at 95 %."""
    low, high = _part(change, 0) or (None, None)
    edge = low if sign > 0 else high
    if edge is None or low == high:
        return ""
    worst = -sign * edge
    return f" (95 % sure: {f'by at most {worst:.4g}' if worst >= 0 else f'better by at least {-worst:.4g}'})"


def _slack(limit: float) -> float:
    return _SLACK * max(1.0, abs(limit))
