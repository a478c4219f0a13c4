"""Parameters of a network as one vector, and vectors as whole numbers modulo 2**64, whose sums are exact.

Sums of whole numbers depend on no order, so that all transports, and masked and plain sums, lead to the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_builder.errors import BadSpec, GateFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from numpy.typing import NDArray
    from torch import nn

#: The distance between two numbers that can be told apart.
STEP = 2.0**-32
#: No value may be larger, so that the sum of 1000 sites (2**10) stays below 2**63 steps.
LIMIT = 2.0**20


@dataclass(frozen=True)
class Layout:
    """Names of the parameters that are averaged in every round, and of those that a site keeps."""

    body: tuple[str, ...]
    head: tuple[str, ...] = ()


def layout(network: nn.Module, *, personal: bool) -> Layout:
    """A personal head is the last layer that has parameters of its own, in the order the network names its layers.

    Raises:
        BadSpec: there would be nothing left to share.
    """
    names = [name for name, _ in network.named_parameters()]
    if not personal:
        return Layout(body=tuple(names))
    last = [name for name, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))][-1]
    head = tuple(name for name in names if name.rpartition(".")[0] == last)
    body = tuple(name for name in names if name not in head)
    if not body:
        raise BadSpec("federated.head is Personal, but the network has a single layer: set head to Shared")
    return Layout(body=body, head=head)


def flatten(network: nn.Module, *, names: tuple[str, ...]) -> torch.Tensor:
    """A float32 copy of the named parameters, one after another."""
    import torch

    values = dict(network.named_parameters())
    parts = [values[name].detach().reshape(-1).to(torch.float32) for name in names]
    return torch.cat(parts) if parts else torch.zeros(0)


def fill(vector: torch.Tensor, *, network: nn.Module, names: tuple[str, ...]) -> None:
    """The inverse of `flatten`, in place.

    Raises:
        BadSpec: the vector belongs to another network.
    """
    import torch

    values = dict(network.named_parameters())
    sizes = [values[name].numel() for name in names]
    if len(vector) != sum(sizes):
        raise BadSpec(
            f"federated: the update has {len(vector)} values, and the network {sum(sizes)} parameters: "
            "all sites must use the network of the recipe"
        )
    with torch.no_grad():
        for name, part in zip(names, torch.split(vector, sizes), strict=True):
            values[name].copy_(part.reshape(values[name].shape))


def encode(values: NDArray[Any]) -> NDArray[Any]:
    """float64 to multiples of `STEP`, as uint64 in two's complement.

    Raises:
        GateFailed: a value is NaN, infinite or beyond `LIMIT`.
    """
    import numpy

    if not bool((numpy.abs(values) <= LIMIT).all()):
        raise GateFailed(
            "federated: an update has values that are not finite or above a million: "
            "the training of a site diverged, lower learningRate, or lower noise or clip"
        )
    return numpy.rint(values / STEP).astype(numpy.int64).view(numpy.uint64)


def total(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """The float64 sum of what `encode` gave, modulo 2**64: masks that cancel are gone."""
    import numpy

    whole: NDArray[Any] = numpy.add.reduce(numpy.stack(list(parts)), axis=0, dtype=numpy.uint64)
    return whole.view(numpy.int64).astype(numpy.float64) * STEP
