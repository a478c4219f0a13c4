"""The 1797 handwritten digits that come with scikit-learn, for whoever needs no more than them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_builder.data import builtin
from model_builder.data.parameters import Data

if TYPE_CHECKING:
    from model_builder.data.base import Dataset


def load(seed: int) -> Dataset:
    """Split 70/15/15, every class alike, by the seed."""
    return builtin.load(Data(name="digits", seed=seed))
