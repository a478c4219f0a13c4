"""Fairness by group: no group should be answered otherwise, or worse, than another.

Demographic parity compares how often groups get an answer, equalised odds how often they get it rightly and wrongly
(Hardt, Price and Srebro, NeurIPS 2016). A gap between estimates is positive for any model; what is judged is the gap
that is proven: lower bounds of one group against upper bounds of another, all of them together at 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy

from model_builder import evidence
from model_builder.audit.base import CLASSES, Audit, AuditResult, Subject, not_run
from model_builder.decode import Range
from model_builder.evaluation.scores import metrics_of
from model_builder.evidence import Bounds, Combined, Evidence, Rows
from model_builder.gates import Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Parameters:
    """Which groups are compared, and by which answer."""

    smallest_group: Annotated[int, Range(1, 1_000_000), "rows below which a group is named and not judged"] = 20
    favourable: Annotated[str, "the class that parity is about; empty: every class"] = ""


@dataclass(frozen=True, eq=False)
class Gap:
    """The largest of some shares less the smallest, the shares being those of separate groups of rows."""

    parts: tuple[Rows, ...]

    @property
    def value(self) -> float:
        """Between the estimates."""
        values = [part.value for part in self.parts]
        return max(values) - min(values)

    @property
    def rows(self) -> int:
        """Of all groups."""
        return sum(part.rows for part in self.parts)

    def bounds(self, alpha: float) -> Bounds:
        """From bounds of all shares that hold together."""
        pairs = [part.bounds(alpha / (2 * len(self.parts))) for part in self.parts]
        lows, highs = [low or 0.0 for low, _ in pairs], [1.0 if high is None else high for _, high in pairs]
        return max(0.0, max(lows) - min(highs)), max(highs) - min(lows)


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Compare the groups of every sensitive column on the test rows."""
    test, names = subject.data.test, subject.data.classes
    if not test.groups:
        return not_run("fairness was not run: the data name no sensitive column (groups)")
    if parameters.favourable and parameters.favourable not in names:
        return not_run(f"fairness was not run: favourable is {parameters.favourable!r}, known: {', '.join(names)}")
    predicted = subject.classes(test.rows)
    wanted = [names.index(parameters.favourable)] if parameters.favourable else list(range(len(names)))
    by_metric: dict[str, list[Evidence]] = {}
    found: dict[str, Evidence] = {}
    tables: dict[str, Any] = {}
    messages: list[str] = []
    for column, values in test.groups.items():
        masks = {str(value): values == value for value in numpy.unique(values)}
        small = [value for value, mask in masks.items() if mask.sum() < parameters.smallest_group]
        messages.extend(_too_small(column, value, rows=int(masks[value].sum())) for value in small)
        judged = {value: mask for value, mask in masks.items() if value not in small}
        if len(judged) < 2:
            messages.append(f"{column} has fewer than two groups that are large enough, so nothing is compared")
            continue
        right = {value: evidence.share(predicted[m] == test.labels[m]) for value, m in judged.items()}
        gaps = _gaps(predicted, test.labels, list(judged.values()), wanted=wanted)
        gaps["groupAccuracyGap"] = Gap(tuple(right.values()))
        gaps["worstGroupAccuracy"] = Combined(tuple(right.values()), min)
        for metric, gap in gaps.items():
            found[f"{metric}:{column}"] = gap
            by_metric.setdefault(metric, []).append(gap)
        found |= {f"groupAccuracy:{column}={value}": part for value, part in right.items()}
        tables[column] = [_row(value, predicted[m], right[value], names=names) for value, m in judged.items()]
    for metric, gaps_of in by_metric.items():
        found[metric] = Combined(tuple(gaps_of), min if metric == "worstGroupAccuracy" else max)
    return AuditResult(metrics=metrics_of(found), tables={"groups": tables}, messages=tuple(messages))


def _gaps(
    predicted: NDArray[Any], labels: NDArray[Any], groups: list[NDArray[Any]], *, wanted: list[int]
) -> dict[str, Evidence]:
    parity: list[Gap] = []
    odds: list[Gap] = []
    for c in wanted:
        parity.append(Gap(tuple(evidence.share(predicted[g] == c) for g in groups)))
        sides = [side for side in (labels == c, labels != c) if all((g & side).any() for g in groups)]
        odds.extend(Gap(tuple(evidence.share(predicted[g & side] == c) for g in groups)) for side in sides)
    gaps: dict[str, Evidence] = {"demographicParityGap": Combined(tuple(parity), max)}
    return gaps | ({"equalisedOddsGap": Combined(tuple(odds), max)} if odds else {})


def _row(value: str, predicted: NDArray[Any], right: Rows, *, names: tuple[str, ...]) -> dict[str, Any]:
    metric = evidence.metric(right)
    shares = {name: evidence.rounded((predicted == c).mean()) for c, name in enumerate(names)}
    return {"group": value, "rows": right.rows, "accuracy": metric.to_json(), "answers": shares}


def _too_small(column: str, value: str, *, rows: int) -> str:
    return f"the group {column}={value} has only {rows} test rows and was not judged: no statement about it is possible"


AUDIT = Audit(
    name="fairness",
    summary="compares groups: demographic parity, equalised odds, accuracy of the worst group",
    parameters=Parameters,
    run=run,
    gates=(
        Gate(metric="demographicParityGap", threshold=0.2),
        Gate(metric="equalisedOddsGap", threshold=0.2),
        Gate(metric="groupAccuracyGap", threshold=0.1),
    ),
    tasks=CLASSES,
)
