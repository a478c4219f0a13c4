"""How good a graph is on the validation split: what passes on graphs choose by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import graph
from model_builder.data.base import IGNORED_LABEL, Dataset, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray


def answers(model: Path, *, data: Dataset) -> NDArray[Any]:
    """The first output for every row of the validation split."""
    return graph.predict(graph.open_session(model), data.validation.rows)


def accuracy(given: NDArray[Any], *, data: Dataset) -> float:
    """Share of right answers on the validation split, of rows or of labelled tokens.

    Of a regression the share of the labels' variance that the answers explain (R squared), which is below zero for
    answers that are worse than the mean. NaN in answers counts as wrong, or makes the whole NaN, which holds no limit.
    """
    labels = data.validation.labels
    if data.task is Task.REGRESSION:
        wide = labels.astype(float)
        return float(1 - ((given.reshape(wide.shape) - wide) ** 2).mean() / max(float(wide.var()), 1e-12))
    right = given.argmax(-1) == labels
    return float(right[labels != IGNORED_LABEL].mean())


def distance(given: NDArray[Any], other: NDArray[Any]) -> float:
    """Mean absolute difference of two models' answers: it still tells models apart that are equally often right."""
    return float(abs(given.astype(float) - other.astype(float)).mean())
