"""Attention heads: which ones matter, and networks with fewer of them."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import TYPE_CHECKING

from model_builder.errors import BadSpec
from model_builder.passes.base import Context
from model_builder.passes.importance import Importance, by_gradient
from model_builder.passes.replacing import replaced

if TYPE_CHECKING:
    from torch import Tensor, nn


def scores(network: nn.Module, *, importance: Importance, rows: int, context: Context) -> dict[str, Tensor]:
    """Name of an attention -> one score per head; a higher one is to be kept.

    Magnitude is the norm of what a head does to the values it looks at, its value matrix times its output matrix.
    Gradient is the square of the loss's derivative by a factor before the head's answer, averaged over batches
    (Michel et al. 2019, arXiv 1905.10650; squared as for channels, see `importance.scores`).

    Raises:
        BadSpec: the network has no attention of torch's own kind with more than one head.
    """
    found = _attentions(network)
    if not found:
        raise BadSpec(
            "prune.structure Heads needs a MultiheadAttention (or TransformerEncoderLayer) of several heads, used in "
            "one place, and the network has none: use LowRank or Weights"
        )
    if importance == "Magnitude":
        return {name: _magnitude(module) for name, module in found.items()}

    def changes() -> dict[str, Tensor]:
        return {name: _change(module) for name, module in found.items()}

    return by_gradient(network, changes=changes, rows=rows, context=context)


def _attentions(network: nn.Module) -> dict[str, nn.MultiheadAttention]:
    """Attentions that can lose heads, by name: queries, keys and values of one width, no extra keys."""
    from torch import nn

    from model_builder.passes.narrow_attention import NarrowAttention

    places = collections.Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    return {
        name: module
        for name, module in network.named_modules()
        if type(module) in (nn.MultiheadAttention, NarrowAttention)
        and isinstance(module, nn.MultiheadAttention)
        and module.num_heads > 1
        and module.in_proj_weight is not None
        and module.bias_k is None
        and not module.add_zero_attn
        and places[id(module)] == 1
    }


def _magnitude(module: nn.MultiheadAttention) -> Tensor:
    import torch

    size = (module.num_heads, module.head_dim)
    values = torch.unflatten(module.in_proj_weight.detach().chunk(3)[2], 0, size)
    outputs = torch.unflatten(module.out_proj.weight.detach(), 1, size).transpose(0, 1)
    norms: Tensor = torch.linalg.matrix_norm(outputs @ values)
    return norms


def _change(module: nn.MultiheadAttention) -> Tensor:
    """To first order, the change of the loss without each head: the answer is linear in the columns of `out_proj`."""
    import torch

    weight = module.out_proj.weight
    if weight.grad is None:
        return torch.zeros(module.num_heads)
    columns = (weight * weight.grad).detach().sum(dim=0)
    return torch.unflatten(columns, 0, (module.num_heads, module.head_dim)).sum(dim=1)


def keep(network: nn.Module, *, kept: Mapping[str, Tensor]) -> nn.Module:
    """The network with only the named heads (int64, in order) of each named attention."""
    from torch import nn

    from model_builder.passes.narrow_attention import NarrowAttention

    for name, index in kept.items():
        whole = network.get_submodule(name)
        assert isinstance(whole, nn.MultiheadAttention)
        narrow = NarrowAttention(whole, kept=index).train(mode=whole.training)
        network = replaced(network, name=name, layer=narrow)
    for module in network.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # only torch's fast path, which is for whole attention, takes nested ones
    return network


def reshape(network: nn.Module, *, layers: Mapping[str, Mapping[str, int]]) -> nn.Module:
    """As many heads as the record says, whatever is in their weights."""
    import torch

    return keep(network, kept={name: torch.arange(size["heads"]) for name, size in layers.items()})
