"""A smoke test: a few inferences of the right shape, whose answers must be sane.

It says nothing of the model's quality. It finds what makes quality pointless: outputs of
another type or shape than promised, NaN, and answers that change from one call to the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelrelease.adapters.triton.answers import FLOATS, Answer, BadAnswer, read
from modelrelease.adapters.triton.inference import infer
from modelrelease.adapters.triton.served import dims
from modelrelease.adapters.triton.trouble import Trouble
from modelrelease.domain.observed import Contract, Tensor

_ANY_LENGTH = 1  # what a dynamic dimension is asked with: the model's warm-up used the same

# The same input gives the same output up to the order in which a GPU adds numbers.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4


async def smoke(*, client: Any, model: str, contract: Contract, address: str, deadline: float) -> None:
    """Ask with zeros, with a constant, and with zeros again.

    Raises:
        Trouble: an answer is not as promised, not finite, or not the same the second time; or none can be had.

    """
    answers: list[Answer] = []
    for zero in (True, False, True):
        inputs = [_input(tensor, lead=_lead(contract), zero=zero) for tensor in contract.inputs]
        result = await infer(client, model=model, inputs=inputs, address=address, deadline=deadline)
        what = "zeros" if zero else "a constant"
        answers.append({tensor.name: _output(result, tensor, contract, what) for tensor in contract.outputs})
    first, _, again = answers
    for name, value in first.items():
        if not _same(value, again[name]):
            raise _failed(
                f"output {name} changes from call to call with the same input: "
                "export the model in evaluation mode, without dropout or sampling"
            )


def _lead(contract: Contract) -> tuple[int, ...]:
    return (1,) if contract.batchable else ()


def _input(tensor: Tensor, *, lead: tuple[int, ...], zero: bool) -> Any:
    from tritonclient.grpc import InferInput  # type: ignore[import-untyped]
    from tritonclient.utils import triton_to_np_dtype  # type: ignore[import-untyped]

    shape = [_ANY_LENGTH if size == -1 else size for size in dims(tensor, lead=lead)]
    kind = triton_to_np_dtype(tensor.datatype)
    if kind is None:
        raise Trouble(
            reason="ModelContractDiffers",
            message=f"input {tensor.name} has the datatype {tensor.datatype}, which Triton does not know: build again",
            fatal=True,
        )
    asked = InferInput(tensor.name, shape, tensor.datatype)
    asked.set_data_from_numpy(np.full(shape, _value(tensor.datatype, zero=zero), dtype=kind))
    return asked


def _value(datatype: str, *, zero: bool) -> float | bytes | bool:
    if datatype == "BYTES":
        return b"" if zero else b"1"
    if zero:
        return 0
    if datatype in FLOATS:
        return 0.5
    return 128 if datatype == "UINT8" else 1  # grey in an image; valid as a token or an index


def _output(result: Any, tensor: Tensor, contract: Contract, what: str) -> NDArray[Any]:
    try:
        return read(result, tensor, shape=dims(tensor, lead=_lead(contract)))
    except BadAnswer as bad:
        raise _failed(f"asked with {what}, {bad}") from None


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype == np.float64:
        return bool(one.shape == other.shape and np.allclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE))
    return bool(np.array_equal(one, other))


def _failed(message: str) -> Trouble:
    return Trouble(reason="SmokeTestFailed", message=f"the model fails its smoke test: {message}", fatal=True)
