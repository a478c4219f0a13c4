"""Privacy: who sees the answer to a row should not be able to tell whether the model was trained on it.

The attack of Yeom et al. (CSF 2018): training rows have lower losses. Threshold and direction are chosen on one half of
the rows, the advantage (true less false positive rate) is measured on the other, so that its bounds are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy

from model_builder import bounds, evidence
from model_builder.audit.base import Audit, AuditResult, Subject, not_run
from model_builder.data.base import Task
from model_builder.decode import Range
from model_builder.evaluation.scores import metrics_of
from model_builder.evidence import Difference, rounded
from model_builder.gates import Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model_builder.data.base import Split

_FEWEST = 10


@dataclass(frozen=True)
class Parameters:
    """How much is tried."""

    rows: Annotated[int, Range(20, 100_000), "training rows, and as many others, that the attack is tried on"] = 2000


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Attack by the loss of each row."""
    data = subject.data
    size = min(parameters.rows, len(data.train.rows), len(data.test.rows))
    if size < 2 * _FEWEST:
        return not_run(f"privacy was not run: {size} rows are too few, {2 * _FEWEST} are needed")
    random = numpy.random.default_rng(subject.seed)
    member, other = (
        _losses(subject, split, random.permutation(len(split.rows))[:size]) for split in (data.train, data.test)
    )
    half = size // 2
    threshold, sign = _threshold(member[:half], other[:half])
    taken, wrongly = (evidence.share(sign * losses[half:] <= sign * threshold) for losses in (member, other))
    return AuditResult(
        metrics=metrics_of({"membershipAdvantage": Difference(taken, wrongly)}),
        tables={
            "membership": {
                "truePositiveRate": rounded(taken.value),
                "falsePositiveRate": rounded(wrongly.value),
                "auroc": rounded(bounds.area(positive=-member[half:], negative=-other[half:])),
            }
        },
    )


def _losses(subject: Subject, split: Split, chosen: NDArray[Any]) -> NDArray[Any]:
    """(n,) squared error, or the negative logarithm of the right class's probability, mean over tokens."""
    answers, labels = subject.predict(split.rows[chosen]), split.labels[chosen]
    if subject.data.task is Task.REGRESSION:
        squares: NDArray[Any] = (answers.reshape(len(labels)) - labels).astype(float) ** 2
        return squares
    judged = labels >= 0
    chances = numpy.take_along_axis(answers, numpy.where(judged, labels, 0)[..., None], axis=-1)[..., 0]
    losses: NDArray[Any] = -numpy.log(numpy.clip(chances.astype(float), 1e-12, 1.0)) * judged
    if losses.ndim == 1:
        return losses
    means: NDArray[Any] = losses.sum(axis=1) / numpy.maximum(judged.sum(axis=1), 1)
    return means


def _threshold(member: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    """The loss and the side of it that tell the two apart best: sign 1 takes what lies at or below for a member."""
    best = (-1.0, 0.0, 1.0)
    for sign in (1.0, -1.0):
        marks = numpy.unique(numpy.concatenate([member, other])) * sign
        taken, wrongly = (
            numpy.searchsorted(numpy.sort(sign * losses), numpy.sort(marks), side="right") / len(losses)
            for losses in (member, other)
        )
        place = int((taken - wrongly).argmax())
        best = max(best, (float((taken - wrongly)[place]), sign * float(numpy.sort(marks)[place]), sign))
    return best[1], best[2]


AUDIT = Audit(
    name="privacy",
    summary="tries to tell training rows from others by the model's answers (membership inference)",
    parameters=Parameters,
    run=run,
    gates=(Gate(metric="membershipAdvantage", threshold=0.1),),
)
