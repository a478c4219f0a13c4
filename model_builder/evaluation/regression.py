"""Scores of a regression: one number per row.

Errors can be of any size, and a mean of what has no limit has no exact bound, whatever the number of rows (Bahadur and
Savage, 1956). Quantiles of the absolute error have one. Who knows how far an answer can be off at most says so with
`largest_error`, and then the means have bounds as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy
from numpy.typing import NDArray

from model_builder import evidence
from model_builder.evaluation.scores import Scores, metrics_of
from model_builder.evidence import Combined, Evidence, Quantile, rounded
from model_builder.metrics import Metric

_BARS, _POINTS = 20, 500


def score(*, answers: NDArray[Any], labels: NDArray[Any], largest_error: float | None = None) -> Scores:
    """Every metric of a regression.

    Args:
        answers: (n,) numbers.
        labels: (n,) numbers, in the same unit.
        largest_error: what no absolute error can exceed, where that is known; ignored if a row exceeds it.
    """
    errors = answers.astype(float) - labels.astype(float)
    sizes, rows = numpy.abs(errors), len(labels)
    spread = float(((labels - labels.mean(dtype=float)) ** 2).sum())
    metrics = {
        "rmse": Metric(rounded(math.sqrt((errors**2).mean())), rows),
        "mae": Metric(rounded(sizes.mean()), rows),
    }
    if spread > 0:
        metrics["r2"] = Metric(rounded(1 - float((errors**2).sum()) / spread), rows)
    found: dict[str, Evidence] = {"absoluteErrorP50": Quantile(sizes, 0.5), "absoluteErrorP90": Quantile(sizes, 0.9)}
    if largest_error is not None and float(sizes.max()) <= largest_error:
        found["mae"] = evidence.mean(sizes, low=0.0, high=largest_error)
        squares = evidence.mean(errors**2, low=0.0, high=largest_error**2)
        found["rmse"] = Combined((squares,), lambda means: math.sqrt(means[0]))
    # Errors that are equal but for their last bits still need bars of some width.
    margin = 1e-6 * max(1.0, float(sizes.max()))
    counts, edges = numpy.histogram(errors, bins=_BARS, range=(errors.min() - margin, errors.max() + margin))
    return Scores(
        metrics=metrics | metrics_of(found),
        tables={
            "errors": {"counts": counts.tolist(), "edges": [rounded(edge) for edge in edges]},
            "answers": [[rounded(a), rounded(b)] for a, b in zip(labels[:_POINTS], answers[:_POINTS], strict=True)],
        },
    )
