"""Networks that come with the builder: name -> constructor. A new one is a new file and a line here."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from model_builder.architectures import digits_cnn, digits_lookup

if TYPE_CHECKING:
    from model_builder.architectures.base import Architecture

REGISTRY: "Mapping[str, Callable[[], Architecture]]" = {
    "digits-cnn": digits_cnn.make,
    "digits-lookup": digits_lookup.make,
}
