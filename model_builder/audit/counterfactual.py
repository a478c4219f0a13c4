"""Counterfactual fairness, as far as a table allows: an answer must not change with the sensitive field alone.

Other fields that depend on the sensitive one stay as they are: a model without flips may still be unfair through them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy

from model_builder import evidence
from model_builder.audit.base import CLASSES, Audit, AuditResult, Subject, not_run
from model_builder.decode import Range
from model_builder.evaluation.scores import metrics_of
from model_builder.evidence import Combined, Evidence
from model_builder.gates import Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_VALUES = 8


@dataclass(frozen=True)
class Parameters:
    """Which fields are sensitive."""

    columns: Annotated[
        tuple[str, ...], Range(0, 32), "features to change; none: those that the data name as groups as well"
    ] = field(default=())


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Give every test row each other value of the field that occurs in training."""
    data = subject.data
    wanted = parameters.columns or tuple(name for name in data.test.groups if name in data.columns)
    unknown = [name for name in wanted if name not in data.columns]
    if unknown:
        return not_run(f"counterfactual was not run: the data have no feature {unknown[0]!r}")
    if not wanted:
        return not_run("counterfactual was not run: no sensitive field is among the features of a row")
    rows, answers = data.test.rows, subject.classes(data.test.rows)
    found: dict[str, Evidence] = {}
    for name in wanted:
        place = data.columns.index(name)
        flipped = numpy.zeros(len(rows), dtype=bool)
        for value in _values(data.train.rows[:, place]):
            changed = rows.copy()
            changed[:, place] = value
            flipped |= subject.classes(changed) != answers
        found[f"counterfactualFlips:{name}"] = evidence.share(flipped)
    found["counterfactualFlips"] = Combined(tuple(found.values()), max)
    return AuditResult(metrics=metrics_of(found))


def _values(column: NDArray[Any]) -> NDArray[Any]:
    """All values where they are few, else three of them."""
    values = numpy.unique(column)
    if len(values) <= _MOST_VALUES:
        return values
    chosen: NDArray[Any] = numpy.quantile(column, (0.05, 0.5, 0.95), method="nearest")
    return chosen


AUDIT = Audit(
    name="counterfactual",
    summary="changes the sensitive field alone and counts the answers that change with it",
    parameters=Parameters,
    run=run,
    gates=(Gate(metric="counterfactualFlips", threshold=0.05),),
    tasks=CLASSES,
)
