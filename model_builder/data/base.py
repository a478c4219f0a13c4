"""What a data set is, once split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Rows as the served model gets them (raw), and their labels."""

    rows: NDArray[Any]
    labels: NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits. Passes choose on `validation`; only metrics and gates read `test`."""

    name: str
    digest: str
    classes: int
    train: Split
    validation: Split
    test: Split
    #: Inputs at the edge of what may arrive; a model must answer them with finite numbers.
    extremes: NDArray[Any]
