"""Networks that come with the builder: name -> constructor. A new one is a new file and a line here.

Those of `SIZED` follow what the spec says of their size and what the data asks of their ends; the others have one form.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from model_builder.architectures import digits_cnn, digits_lookup, text_encoder
from model_builder.decode import decode
from model_builder.errors import BadSpec

if TYPE_CHECKING:
    from model_builder.architectures.base import Architecture, Ends

REGISTRY: "Mapping[str, Callable[..., Architecture]]" = {
    "digits-cnn": digits_cnn.make,
    "digits-lookup": digits_lookup.make,
    "text-encoder": text_encoder.make,
}
#: Name -> parameters of the size, and what checks that they go together.
SIZED: Mapping[str, tuple[type[Any], Callable[..., None]]] = {
    "text-encoder": (text_encoder.Parameters, text_encoder.check)
}


def check(name: str, *, parameters: Mapping[str, object], where: str) -> None:
    """Refuse sizes that a network can't have. BadSpec."""
    if name in SIZED:
        _size(name, parameters=parameters, where=where)
    elif parameters:
        raise BadSpec(f"{where} has no effect on {name!r}, which has one size: remove it")


def make(name: str, *, parameters: Mapping[str, object], ends: "Callable[[], Ends] | None") -> "Architecture":
    """A fresh network; its weights follow torch's seed.

    Args:
        name: of `REGISTRY`.
        parameters: as the spec gives them.
        ends: what the data asks of it; only called, and only needed, for a network that follows it.
    """
    if name not in SIZED:
        return REGISTRY[name]()
    assert ends is not None
    return REGISTRY[name](parameters=_size(name, parameters=parameters, where="parameters"), ends=ends())


def _size(name: str, *, parameters: Mapping[str, object], where: str) -> Any:
    cls, check_size = SIZED[name]
    size = decode(cls, parameters, where=where)
    check_size(size, where=where)
    return size
