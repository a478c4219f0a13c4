"""Low-rank adapters (Hu et al., LoRA, ICLR 2022): a matrix W acts as W + B A * alpha / rank, and only A and B learn.

They sit on matrices, not on modules, so that the packed projections of `nn.MultiheadAttention` get one as well as every
Linear. In the end they are added to the matrices: what is served has neither more weights nor more steps.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model_builder.errors import BadSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

#: The matrices of `nn.MultiheadAttention`; the last three where keys and values have widths of their own.
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


@dataclass(frozen=True)
class Adapted:
    """A network of which nothing learns but adapters and the last layer.

    Attributes:
        frozen: the other layers without an adapter; in training mode their running means would still move.
        matrices: how many have an adapter.
        trainable: how many numbers learn.
        total: how many numbers the network has without adapters.
    """

    frozen: tuple[nn.Module, ...]
    matrices: int
    trainable: int
    total: int

    def to_json(self) -> dict[str, int]:
        """As it appears in the record of a pass."""
        return {"matrices": self.matrices, "trainable": self.trainable, "total": self.total}


def layers(network: nn.Module) -> list[nn.Module]:
    """The modules with weights of their own, in the order the network names them."""
    return [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]


@contextlib.contextmanager
def adapted(network: nn.Module, *, rank: int, alpha: float, dropout: float) -> Iterator[Adapted]:
    """Let the network learn by adapters as long as the context lasts, and have all its weights learn again after it.

    The last layer has no adapter and learns as a whole: a new task needs its own. B starts at zero, so that the network
    first answers as before. A weight that several layers share stays as it is.

    Args:
        network: changed in place; however the context ends, what the adapters have learned is then in the weights.
        rank: of A and B; matrices that have no more rows or columns stay as they are.
        alpha: the adapters count `alpha / rank`.
        dropout: share of a matrix's inputs that its adapter does not see in a step of the training.

    Raises:
        BadSpec: no matrix before the last layer is larger than the rank.
    """
    from torch.nn.utils import parametrize

    total = sum(parameter.numel() for parameter in network.parameters())
    *body, head = layers(network)
    shared = Counter(id(weight) for module in (*body, head) for weight in module.parameters(recurse=False))
    found = [(module, name) for module in body for name in _matrices(module, rank=rank)]
    chosen = [(module, name) for module, name in found if shared[id(getattr(module, name))] == 1]
    if not chosen:
        raise BadSpec(
            f"finetune.loraRank is {rank}, but no linear layer or attention before the last layer has more inputs and "
            "more outputs than that: lower it, or leave it out"
        )
    network.requires_grad_(requires_grad=False)
    head.requires_grad_(requires_grad=True)
    for module, name in chosen:
        adapter = _adapter(getattr(module, name), rank=rank, scale=alpha / rank, dropout=dropout)
        parametrize.register_parametrization(module, name, adapter)
    owners = {id(module) for module, _ in chosen}
    try:
        yield Adapted(
            frozen=tuple(module for module in body if id(module) not in owners),
            matrices=len(chosen),
            trainable=sum(weight.numel() for weight in network.parameters() if weight.requires_grad),
            total=total,
        )
    finally:
        for module, name in chosen:
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        network.requires_grad_(requires_grad=True)  # for the passes after this one


def _matrices(module: nn.Module, *, rank: int) -> Iterator[str]:
    """Names of the matrices that an adapter is smaller than."""
    from torch import nn

    kinds = {nn.Linear: ("weight",), nn.MultiheadAttention: _PROJECTIONS}
    for name in next((names for kind, names in kinds.items() if isinstance(module, kind)), ()):
        matrix = getattr(module, name)
        if matrix is not None and min(matrix.shape) > rank:
            yield name


def _adapter(matrix: Tensor, *, rank: int, scale: float, dropout: float) -> nn.Module:
    import torch
    from torch import nn

    class Adapter(nn.Module):
        """`matrix + B A * scale`. In training some columns of A are left out, the same for all rows of a batch."""

        def __init__(self) -> None:
            super().__init__()
            outputs, inputs = matrix.shape
            self.a = nn.Parameter(torch.randn(rank, inputs) * inputs**-0.5)
            self.b = nn.Parameter(torch.zeros(outputs, rank))

        def forward(self, whole: Tensor) -> Tensor:
            seen = nn.functional.dropout(torch.ones(self.a.shape[1]), p=dropout, training=self.training)
            return whole + self.b @ (self.a * seen) * scale

    return Adapter()
