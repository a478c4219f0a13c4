"""The data sets: name -> loader. A new one is a new file and a line here."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from model_builder.data import digits

if TYPE_CHECKING:
    from model_builder.data.base import Dataset

REGISTRY: "Mapping[str, Callable[[int], Dataset]]" = {"digits": digits.load}
