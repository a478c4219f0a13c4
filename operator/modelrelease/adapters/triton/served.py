"""What Triton says that it serves, compared with what the build promised. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelrelease.adapters.triton.trouble import Trouble
from modelrelease.domain.observed import Contract, Tensor

Served = tuple[str, tuple[int, ...]]  # datatype and shape


def check(*, contract: Contract, metadata: Any, max_batch_size: int, wanted_batch_size: int) -> None:
    """Compare Triton's model metadata (protocol v2) and batching with the contract.

    Raises:
        Trouble: they differ; the sentence names the first difference.

    """
    lead = (-1,) if contract.batchable else ()
    for kind, promised, found in (
        ("input", contract.inputs, metadata.inputs),
        ("output", contract.outputs, metadata.outputs),
    ):
        served = {tensor.name: (tensor.datatype, tuple(tensor.shape)) for tensor in found}
        if (difference := _difference(kind, promised, served, lead=lead)) is not None:
            raise _differs(difference)
    batches = contract.batchable and wanted_batch_size > 0
    if batches != (max_batch_size > 0):
        told = "takes batches" if max_batch_size > 0 else "takes no batches"
        asked = "must not" if max_batch_size > 0 else f"should, of up to {wanted_batch_size}"
        raise _differs(f"it {told} and {asked}")


def dims(tensor: Tensor, *, lead: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape on the wire. Triton has no scalars: one per row is served as a vector of one."""
    return lead + (tensor.shape or (1,))


def fits(shape: Iterable[int], pattern: Iterable[int]) -> bool:
    """Tell whether a shape is as the pattern says, where -1 stands for any length."""
    found, wanted = tuple(shape), tuple(pattern)
    return len(found) == len(wanted) and all(w in (-1, f) for f, w in zip(found, wanted, strict=True))


def told(datatype: str, shape: Iterable[int]) -> str:
    """Return a datatype and shape as people read them."""
    return f"{datatype}[{','.join(map(str, shape))}]"


def _difference(
    kind: str, promised: Iterable[Tensor], served: Mapping[str, Served], *, lead: tuple[int, ...]
) -> str | None:
    wanted = {tensor.name: (tensor.datatype, dims(tensor, lead=lead)) for tensor in promised}
    if missing := sorted(wanted.keys() - served.keys()):
        return f"{kind} {missing[0]} is missing"
    if extra := sorted(served.keys() - wanted.keys()):
        return f"{kind} {extra[0]} was not promised"
    changed = sorted(name for name in wanted if wanted[name] != served[name])
    if not changed:
        return None
    name = changed[0]
    return f"{kind} {name} is {told(*served[name])} and should be {told(*wanted[name])}"


def _differs(difference: str) -> Trouble:
    return Trouble(
        reason="ModelContractDiffers",
        message=f"Triton does not serve the model that was built: {difference}; "
        "look whether the repository of the pod is the release's artifact, and build it again",
        fatal=True,
    )
