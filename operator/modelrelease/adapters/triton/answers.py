"""An output of an inference as an array, if it has the promised type and shape and is finite."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelrelease.adapters.triton.served import fits, told
from modelrelease.domain.observed import Tensor

FLOATS = ("FP16", "FP32", "FP64", "BF16")

Answer = dict[str, NDArray[Any]]


class Fault(Enum):
    """What is wrong with an answer."""

    ERROR = auto()  # the server says so itself
    SILENT = auto()  # there is none in time
    SCHEMA = auto()
    NOT_FINITE = auto()
    WRONG = auto()  # another one than expected


class BadAnswer(Exception):  # noqa: N818 - carries a fault to whoever asked, never leaves this package
    """An answer that can't be used, and why."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


def read(result: Any, tensor: Tensor, *, shape: Iterable[int]) -> NDArray[Any]:
    """Return an output; floating-point numbers as float64. `shape` has -1 where any length will do.

    Raises:
        BadAnswer: it is missing, of another type or shape, or has NaN or inf.

    """
    wanted = tuple(shape)
    head = result.get_output(tensor.name)
    if head is None:
        raise BadAnswer(Fault.SCHEMA, f"there is no output {tensor.name}")
    if head.datatype != tensor.datatype or not fits(head.shape, wanted):
        found = told(head.datatype, head.shape)
        message = f"output {tensor.name} is {found} and not {told(tensor.datatype, wanted)}"
        raise BadAnswer(Fault.SCHEMA, message)
    try:
        value: NDArray[Any] = result.as_numpy(tensor.name)
    except (ValueError, struct.error):
        message = f"the bytes of output {tensor.name} are not {told(head.datatype, head.shape)}"
        raise BadAnswer(Fault.SCHEMA, message) from None
    if tensor.datatype in FLOATS:
        value = value.astype(np.float64)
        if not np.isfinite(value).all():
            wrong = np.count_nonzero(~np.isfinite(value))
            message = f"{wrong} of the {value.size} numbers of output {tensor.name} are NaN or inf"
            raise BadAnswer(Fault.NOT_FINITE, message)
    return value
