"""Individual fairness: rows that are much alike should be answered alike.

Consistency after Zemel et al. (ICML 2013), with one change: the neighbours are training rows, so that the contributions
of the test rows are independent of each other and an exact bound exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy

from model_builder import evidence
from model_builder.audit.base import CLASSES, Audit, AuditResult, Subject
from model_builder.decode import Range
from model_builder.evaluation.scores import metrics_of
from model_builder.gates import Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_TRAINING, _MOST_TEST = 5000, 1000


@dataclass(frozen=True)
class Parameters:
    """How many neighbours count."""

    neighbours: Annotated[int, Range(1, 100), "nearest training rows that a test row is compared with"] = 5


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Compare each test row's answer with those of its nearest training rows, every feature scaled by its spread."""
    random = numpy.random.default_rng(subject.seed)
    train, test = (
        rows[random.permutation(len(rows))[:most]]
        for rows, most in ((subject.data.train.rows, _MOST_TRAINING), (subject.data.test.rows, _MOST_TEST))
    )
    near = _nearest(train, test, count=min(parameters.neighbours, len(train)))
    same = subject.classes(train)[near] == subject.classes(test)[:, None]
    found = evidence.mean(same.mean(axis=1), low=0.0, high=1.0)
    return AuditResult(metrics=metrics_of({"consistency": found}))


def _nearest(train: NDArray[Any], test: NDArray[Any], *, count: int) -> NDArray[Any]:
    """(test rows, count) numbers of training rows, nearest first; equal distances in the order of the rows."""
    flat, asked = (part.reshape(len(part), -1).astype(float) for part in (train, test))
    spread = flat.std(axis=0)
    scale = numpy.where(spread > 0, spread, 1.0)
    flat, asked = flat / scale, asked / scale
    distances = (asked**2).sum(axis=1)[:, None] - 2 * asked @ flat.T + (flat**2).sum(axis=1)
    nearest: NDArray[Any] = numpy.argsort(distances, axis=1, kind="stable")[:, :count]
    return nearest


AUDIT = Audit(
    name="individualFairness",
    summary="asks whether rows that are much alike get the same answer (consistency)",
    parameters=Parameters,
    run=run,
    gates=(Gate(metric="consistency", threshold=0.7),),
    tasks=CLASSES,
)
