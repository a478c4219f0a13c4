"""Shapley values of the exported bytes: what each value of a row adds to the answer, with no gradient, no torch twin.

Estimated over random orders of the values, each there and back (Strumbelj and Kononenko, KAIS 2014; Lundberg and Lee,
NeurIPS 2017), by `shap.PermutationExplainer`. Values that are left out come from training rows. In one order the parts
add up to the answer less that of the background, so what is missing of it tells of a model that answers the same row
in other ways: by chance, or by what else is in the batch. Parts that hang on the orders drawn are told by drawing
twice.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy

from model_builder.audit import gradients
from model_builder.audit.base import CLASSES, Audit, AuditResult, Subject, not_run
from model_builder.audit.explain import rank_correlation
from model_builder.decode import Range
from model_builder.errors import BadSpec
from model_builder.evidence import rounded
from model_builder.gates import Gate
from model_builder.metrics import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PICTURES = 4
#: Every order asks for twice as many answers as a row has values, for each background row.
_MOST_VALUES = 1024


@dataclass(frozen=True)
class Parameters:
    """How much is looked at, and how finely."""

    rows: Annotated[int, Range(2, 1000), "test rows that are explained"] = 8
    background: Annotated[int, Range(1, 1000), "training rows whose values take the place of those left out"] = 8
    orders: Annotated[int, Range(1, 1000), "orders of the values that are drawn for a row, each there and back"] = 4


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Explain some test rows.

    Raises:
        BadSpec: the extra `shap` is not installed.
    """
    data = subject.data
    if not gradients.differentiable(data.test.rows):
        return not_run("shap was not run: rows of whole numbers (tokens) have no values between; see attention")
    if data.test.rows[0].size > _MOST_VALUES:
        return not_run(f"shap was not run: rows of more than {_MOST_VALUES} values take too many answers; see explain")
    chance = numpy.random.default_rng(subject.seed)
    rows = data.test.rows[chance.permutation(len(data.test.rows))[: parameters.rows]]
    background = data.train.rows[chance.permutation(len(data.train.rows))[: parameters.background]]
    classes = subject.classes(rows)
    first, second = (
        values(subject, rows, classes, background=background, orders=parameters.orders, seed=subject.seed + again)
        for again in (0, 1)
    )
    metrics = {
        "shapCompletenessError": Metric(rounded(_error(subject, rows, classes, background, parts=first)), len(rows)),
        "shapStability": Metric(rounded(rank_correlation(first, second)), len(rows)),
    }
    strength = numpy.abs(first).mean(axis=0)
    mean = _plain(strength)
    if data.columns:
        mean = [{"column": column, "strength": value} for column, value in zip(data.columns, mean, strict=True)]
    shown = [
        {"class": data.classes[int(c)], "row": _plain(row), "parts": _plain(part)}
        for row, part, c in zip(rows[:_PICTURES], first[:_PICTURES], classes[:_PICTURES], strict=True)
    ]
    return AuditResult(metrics=metrics, tables={"mean": mean, "rows": shown})


def values(
    subject: Subject, rows: NDArray[Any], classes: NDArray[Any], *, background: NDArray[Any], orders: int, seed: int
) -> NDArray[Any]:
    """(n, ...) what each value of each row adds to the probability of the row's class.

    Args:
        subject: the model.
        rows: (n, ...).
        classes: (n,) whose probability is explained.
        background: (m, ...) rows whose values take the place of those left out.
        orders: of the values, for each row.
        seed: of the orders.

    Raises:
        BadSpec: the extra `shap` is not installed.
    """
    shap = _library()
    size, shape = rows[0].size, rows.shape[1:]

    def answer(flat: NDArray[Any]) -> NDArray[Any]:
        chances: NDArray[Any] = subject.predict(flat.reshape(-1, *shape).astype(rows.dtype)).astype(float)
        return chances

    masker = shap.maskers.Independent(background.reshape(len(background), -1).astype(float), len(background))
    explainer = shap.PermutationExplainer(answer, masker, seed=seed)
    asked = rows.reshape(len(rows), -1).astype(float)
    found = explainer(asked, max_evals=orders * (2 * size + 1), silent=True).values
    own: NDArray[Any] = found[numpy.arange(len(rows)), :, classes]
    return own.reshape(rows.shape)


def _library() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about how its pictures use matplotlib
        try:
            import shap  # type: ignore[import-untyped]
        except ImportError as error:
            raise BadSpec("spec.audit: 'shap' needs the library of that name: install the extra 'shap'") from error
    return shap


def _error(
    subject: Subject, rows: NDArray[Any], classes: NDArray[Any], background: NDArray[Any], *, parts: NDArray[Any]
) -> float:
    """Mean |sum of parts - (answer - mean answer to the background)|, relative to the mean of that difference."""
    everyone = numpy.arange(len(rows))
    before = subject.predict(background).astype(float).mean(axis=0)[classes]
    risen = subject.predict(rows).astype(float)[everyone, classes] - before
    missing = numpy.abs(parts.reshape(len(rows), -1).sum(axis=1) - risen)
    return float(missing.mean() / max(float(numpy.abs(risen).mean()), 1e-12))


def _plain(values: NDArray[Any]) -> Any:
    return numpy.round(values.astype(float), 6).tolist()


AUDIT = Audit(
    name="shap",
    summary="tells what answers rest on by Shapley values of the served bytes; needs the extra `shap`",
    parameters=Parameters,
    run=run,
    gates=(Gate(metric="shapCompletenessError", threshold=0.05),),
    tasks=CLASSES,
)
