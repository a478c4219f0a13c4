"""What happens to rows on their way to a model, at three severities each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
from numpy.typing import NDArray

SEVERITIES = (1, 2, 3)
#: Corruption -> its amount at each severity: shares of the range, of the values, of the contrast, of a pixel.
AMOUNTS: Mapping[str, tuple[float, float, float]] = {
    "noise": (0.04, 0.08, 0.12),
    "lost": (0.02, 0.05, 0.1),
    "brightness": (0.05, 0.1, 0.15),
    "contrast": (0.15, 0.3, 0.45),
    "shift": (0.25, 0.5, 1.0),
}


def names_for(rows: NDArray[Any]) -> list[str]:
    """The corruptions that make sense: only images can be shifted."""
    return [name for name in AMOUNTS if name != "shift" or rows.ndim > 2]


def corrupt(
    rows: NDArray[Any],
    *,
    name: str,
    severity: int,
    low: NDArray[Any],
    high: NDArray[Any],
    random: numpy.random.Generator,
) -> NDArray[Any]:
    """One corruption of all rows, kept within the range of the training rows.

    Args:
        rows: raw rows; the last dimension of an image is its width.
        name: noise; lost values (the mean of a feature, or the darkest value, stands in); brightness; loss of contrast;
            shift to the right by a part of a pixel.
        severity: 1 to 3.
        low: smallest value, as `gradients.limits` gives it.
        high: largest value.
        random: of noise and lost values.
    """
    amount, table = AMOUNTS[name][severity - 1], rows.ndim == 2
    if name == "noise":
        changed = rows + amount * (high - low) * random.standard_normal(rows.shape)
    elif name == "lost":
        changed = numpy.where(random.random(rows.shape) < amount, rows.mean(axis=0) if table else low, rows)
    elif name == "brightness":
        changed = rows + amount * (high - low)
    elif name == "contrast":
        middle = rows.mean(axis=0) if table else rows.mean(axis=tuple(range(1, rows.ndim)), keepdims=True)
        changed = middle + (1 - amount) * (rows - middle)
    else:
        moved = numpy.zeros_like(rows)
        moved[..., 1:] = rows[..., :-1]
        changed = (1 - amount) * rows + amount * moved
    kept: NDArray[Any] = numpy.clip(changed, low, high).astype(rows.dtype)
    return kept
