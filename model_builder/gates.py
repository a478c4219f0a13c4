"""Judges metrics against gates, in the grammar of Olive: Pass, Fail or Inconclusive, from exact one-sided 95 % bounds.

A gate on a headline metric proves: it passes only if the bound clears what it asks for. A gate on a part (a class, a
group, an attack) is a tripwire: it fails only if harm is proven. Cost (size, latency) is judged as it was measured.
docs/evaluation.md says which metric has which bound. Only the standard library is imported before something is judged.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model_builder.decode import Range, camel, suggest
from model_builder.errors import BadSpec
from model_builder.metrics import METRICS, SOURCE_SUFFIX, STABLE_SUFFIX, Kind, Metric, Role, base_name, kind_of

if TYPE_CHECKING:
    from model_builder.evidence import Evidence

_COMPARISONS = ("max_degradation", "percent_max_degradation", "min_improvement", "percent_min_improvement")
#: Differences of shares that are equal on paper must not fail for the last bit of a float.
_SLACK = 1e-9


@dataclass(frozen=True)
class Gate:
    """One condition on a metric: exactly one of `threshold` and the four comparisons.

    Attributes:
        metric: a name of `metrics.METRICS`, with a part or with the model it belongs to where wanted.
        threshold: the metric must be at least this; at most, where lower is better.
        max_degradation: how much worse than `against` the metric may be.
        percent_max_degradation: the same in percent of the value of `against`.
        min_improvement: how much better than `against` the metric must be.
        percent_min_improvement: the same in percent of the value of `against`.
        against: the source model, or the stable artifact, run on the same rows.
        on_inconclusive: whether a gate that is neither proven nor refuted keeps the artifact back.
    """

    metric: str
    threshold: float | None = None
    max_degradation: Annotated[float | None, Range(0, 1e12)] = None
    percent_max_degradation: Annotated[float | None, Range(0, 1e6)] = None
    min_improvement: Annotated[float | None, Range(0, 1e12)] = None
    percent_min_improvement: Annotated[float | None, Range(0, 1e6)] = None
    against: Literal["Source", "Stable"] = "Source"
    on_inconclusive: Literal["Block", "Allow"] = "Block"

    @property
    def reference(self) -> str | None:
        """Name of the metric it compares with; None for a threshold."""
        if self.threshold is not None:
            return None
        return self.metric + (SOURCE_SUFFIX if self.against == "Source" else STABLE_SUFFIX)


#: What holds for every build that names no gates: it must be about as good as its source, in every class.
DEFAULTS: Mapping[str, tuple[Gate, ...]] = {
    "Classification": (
        Gate(metric="accuracy", max_degradation=0.03),
        Gate(metric="classRecallDrop", threshold=0.1),
    ),
    "TokenClassification": (Gate(metric="accuracy", max_degradation=0.03),),
    "Regression": (Gate(metric="rmse", percent_max_degradation=5, on_inconclusive="Allow"),),
}


class Outcome(enum.Enum):
    """What became of a gate."""

    PASS = "Pass"  # noqa: S105 - no password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True)
class Verdict:
    """What became of one gate, and why, in a sentence."""

    gate: Gate
    outcome: Outcome
    message: str
    blocks: bool

    @property
    def passed(self) -> bool:
        """True if it keeps nothing back."""
        return not self.blocks

    def to_json(self) -> dict[str, Any]:
        """As it appears in the manifest."""
        return {
            "metric": self.gate.metric,
            "verdict": self.outcome.value,
            "blocks": self.blocks,
            "message": self.message,
        }


@dataclass(frozen=True)
class _Claim:
    """`own * metric + reference * metric of the other + constant >= 0`."""

    own: float
    reference: float
    constant: float

    def refuted(self) -> _Claim:
        """What holds if the claim does not."""
        return _Claim(-self.own, -self.reference, -self.constant)

    def at(self, own: float, reference: float) -> float:
        """How far the claim holds, for known values."""
        return self.own * own + (self.reference * reference if self.reference else 0.0) + self.constant


def check(gate: Gate, *, where: str) -> None:
    """Refuse what the types can't: an unknown metric, no condition or two, a comparison that means nothing.

    Raises:
        BadSpec: `where` names the place.
    """
    if kind_of(gate.metric) is None:
        raise BadSpec(f"{where}.metric is {gate.metric!r}; {suggest(base_name(gate.metric), METRICS)}")
    names = ("threshold", *_COMPARISONS)
    given = [name for name in names if getattr(gate, name) is not None]
    if len(given) != 1:
        listed = " and ".join(repr(camel(name)) for name in given) or "none"
        raise BadSpec(f"{where} needs exactly one of {', '.join(map(camel, names))}, and has {listed}")
    if gate.threshold is None and gate.metric != gate.metric.removesuffix(SOURCE_SUFFIX).removesuffix(STABLE_SUFFIX):
        raise BadSpec(f"{where}.metric is {gate.metric!r}: compare the final model's metric, without the suffix")


def judge(gates: Iterable[Gate], *, metrics: Mapping[str, Metric]) -> list[Verdict]:
    """One verdict per gate.

    A metric that was not measured fails its gate. Without a stable artifact in the build a gate against it is left to
    whoever compares the reported metrics: Inconclusive, and it blocks nothing.
    """
    stable = any(name.endswith(STABLE_SUFFIX) for name in metrics)
    return [_judge(gate, metrics=metrics, stable=stable) for gate in gates]


def _judge(gate: Gate, *, metrics: Mapping[str, Metric], stable: bool) -> Verdict:
    measured = metrics.get(gate.metric)
    reference = metrics.get(gate.reference) if gate.reference else None
    if gate.reference and gate.against == "Stable" and not stable and measured is not None:
        message = f"{_told(gate.metric, measured)}; no stable artifact was given to the build, so nothing is compared"
        return Verdict(gate=gate, outcome=Outcome.INCONCLUSIVE, message=message, blocks=False)
    if measured is None or (gate.reference and reference is None):
        missing = gate.metric if measured is None else gate.reference
        message = f"{missing} was not measured, so its gate can't pass"
        return Verdict(gate=gate, outcome=Outcome.FAIL, message=message, blocks=True)
    kind = kind_of(gate.metric)
    assert kind is not None
    outcome, why = _outcome(_claim(gate, kind=kind), kind=kind, measured=measured, reference=reference)
    message = f"{_told(gate.metric, measured)}; the gate asks for {_asked(gate, kind=kind, reference=reference)}{why}"
    blocks = outcome is Outcome.FAIL or (outcome is Outcome.INCONCLUSIVE and gate.on_inconclusive == "Block")
    return Verdict(gate=gate, outcome=outcome, message=message, blocks=blocks)


def _claim(gate: Gate, *, kind: Kind) -> _Claim:
    sign = 1.0 if kind.higher_is_better else -1.0
    if gate.threshold is not None:
        return _Claim(sign, 0.0, -sign * gate.threshold)
    if gate.max_degradation is not None:
        return _Claim(sign, -sign, gate.max_degradation)
    if gate.min_improvement is not None:
        return _Claim(sign, -sign, -gate.min_improvement)
    if gate.percent_max_degradation is not None:
        return _Claim(sign, -sign * (1 - sign * gate.percent_max_degradation / 100), 0.0)
    assert gate.percent_min_improvement is not None
    return _Claim(sign, -sign * (1 + sign * gate.percent_min_improvement / 100), 0.0)


def _outcome(claim: _Claim, *, kind: Kind, measured: Metric, reference: Metric | None) -> tuple[Outcome, str]:
    slack = _SLACK * max(1.0, abs(claim.constant))
    holds = claim.at(measured.value, reference.value if reference else 0.0) >= -slack
    if kind.role is Role.MEASURED:
        return (Outcome.PASS, "") if holds else (Outcome.FAIL, "")
    proven, refuted = (_is_proven(side, measured, reference) for side in (claim, claim.refuted()))
    if refuted and not proven:
        return Outcome.FAIL, ", and that is refuted"
    if kind.role is Role.TRIPWIRE:
        return Outcome.PASS, "" if holds else ", and these rows do not prove that it is missed"
    if proven:
        return Outcome.PASS, ""
    if holds:
        return Outcome.INCONCLUSIVE, ", and these rows do not prove it: take more test rows or a wider margin"
    if measured.lower is None and measured.upper is None:
        return Outcome.FAIL, ""  # no bound exists, so nothing but the estimate can speak, and it says no
    return Outcome.INCONCLUSIVE, ", which is missed, but not so far that these rows refute it"


def _is_proven(claim: _Claim, measured: Metric, reference: Metric | None) -> bool:
    """True if the exact bounds clear the claim."""
    if reference is None:
        bound = measured.lower if claim.own > 0 else measured.upper
        return bound is not None and claim.at(bound, 0.0) >= -_SLACK
    if measured.evidence is None or reference.evidence is None:
        return False
    return _compared(claim, measured.evidence, reference.evidence)


def _compared(claim: _Claim, own: Evidence, other: Evidence) -> bool:
    from model_builder import bounds
    from model_builder.evidence import Rows

    if own is other:  # the same answers, since it is the same file
        low, high = own.bounds(bounds.ALPHA)
        both = claim.own + claim.reference
        edge = 0.0 if both == 0 else (low if both > 0 else high)
        return edge is not None and both * edge + claim.constant >= -_SLACK
    if isinstance(own, Rows) and isinstance(other, Rows) and own.same_rows(other):
        if own.is_share and other.is_share and claim.own == -claim.reference:
            change = claim.own * (own.numerators - other.numerators)
            better, worse = int((change > 0).sum()), int((change < 0).sum())
            return bounds.drop_is_below(rows=own.rows, better=better, worse=worse, margin=claim.constant)
        values = claim.own * own.numerators + claim.reference * other.numerators + claim.constant * own.denominators
        corners = [claim.at(a, b) for a in (own.low, own.high) for b in (own.low, own.high)]
        smallest = min(corners) * own.largest
        return bounds.mean_is_not_negative(values, smallest=smallest)
    (low, high), (other_low, other_high) = own.bounds(bounds.ALPHA / 2), other.bounds(bounds.ALPHA / 2)
    edge, other_edge = (low if claim.own > 0 else high), (other_low if claim.reference > 0 else other_high)
    return edge is not None and other_edge is not None and claim.at(edge, other_edge) >= -_SLACK


def _told(name: str, metric: Metric) -> str:
    rows = "" if metric.rows is None else f" on {metric.rows} rows"
    known = [f"at least {metric.lower:.6g}"] if metric.lower is not None else []
    known += [f"at most {metric.upper:.6g}"] if metric.upper is not None else []
    sure = f" (95 % sure: {', '.join(known)})" if known else ""
    return f"{name} is {metric.value:.6g}{rows}{sure}"


def _asked(gate: Gate, *, kind: Kind, reference: Metric | None) -> str:
    side = "at least" if kind.higher_is_better else "at most"
    if gate.threshold is not None:
        return f"{side} {gate.threshold:g}"
    assert reference is not None
    name = next(name for name in _COMPARISONS if getattr(gate, name) is not None)
    claim, amount = _claim(gate, kind=kind), getattr(gate, name)
    limit = -(claim.reference * reference.value + claim.constant) / claim.own
    unit = " %" if name.startswith("percent") else ""
    wanted = "better wanted" if name.endswith("improvement") else "worse allowed"
    return f"{side} {limit:.6g} ({reference.value:.6g} of the {gate.against.lower()} model, {amount:g}{unit} {wanted})"


def smallest_provable_margin(*, rows: int, better: int = 0, worse: int = 0) -> float:
    """The smallest fall in accuracy that these many rows exclude at 95 %, with so many answers better and worse.

    270 rows without one worse answer still allow a fall of 0.011.
    """
    from model_builder import bounds

    return bounds.drop(rows=rows, better=better, worse=worse)[1]


def unprovable(gate: Gate, *, rows: int) -> str | None:
    """A sentence if this gate can't pass on a test split of so many rows, however good the model; for `lint`.

    Known for gates on shares of rows (accuracy and agreement) that do not ask for an improvement.
    """
    kind = kind_of(gate.metric)
    improves = gate.min_improvement is not None or gate.percent_min_improvement is not None
    if base_name(gate.metric) not in ("accuracy", "agreement") or improves or kind is None or rows < 1:
        return None
    import numpy

    from model_builder import evidence

    # Two objects: equal answers of two models, not one model twice.
    own, other = (evidence.metric(evidence.share(numpy.ones(rows, dtype=bool))) for _ in range(2))
    if _is_proven(_claim(gate, kind=kind), own, other if gate.reference else None):
        return None
    if gate.threshold is not None:
        most = math.floor(1e4 * (own.lower or 0.0)) / 1e4
        asked, can = f"at least {gate.threshold:g}", f"at most {most:g}, with every answer right"
    else:
        least = math.ceil(1e4 * smallest_provable_margin(rows=rows)) / 1e4
        asked = f"a degradation of at most {gate.max_degradation or gate.percent_max_degradation or 0:g}"
        can = f"no less than {least:g}, without one worse answer"
    return f"the gate on {gate.metric} asks for {asked}, but {rows} test rows can prove {can}: take more rows"
