"""How far a model's confidence is from how often it is right."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

BINS = 10


def reliability(*, confidence: NDArray[Any], right: NDArray[Any], bins: int = BINS) -> list[dict[str, float]]:
    """Bins of equal width over the confidence, those without rows left out: the data of a reliability diagram.

    Args:
        confidence: (n,) probability of the class that is answered.
        right: (n,) whether that class is the label.
        bins: number of bins between 0 and 1.
    """
    place = numpy.clip(numpy.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [
        {
            "low": index / bins,
            "high": (index + 1) / bins,
            "rows": int((place == index).sum()),
            "confidence": round(float(confidence[place == index].mean()), 6),
            "accuracy": round(float(right[place == index].mean()), 6),
        }
        for index in range(bins)
        if (place == index).any()
    ]


def expected_error(table: list[dict[str, float]]) -> float:
    """ECE of the bins of `reliability` (Naeini et al., AAAI 2015): mean distance, weighted by rows."""
    rows = sum(entry["rows"] for entry in table)
    return sum(entry["rows"] * abs(entry["confidence"] - entry["accuracy"]) for entry in table) / rows


def brier(*, probabilities: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """(n,) squared distance of each row's probabilities from its label, 0 to 2 (Brier, 1950)."""
    truth = numpy.eye(probabilities.shape[1])[labels]
    distances: NDArray[Any] = numpy.clip(((probabilities - truth) ** 2).sum(axis=1), 0.0, 2.0)
    return distances
