"""Linear layers as products of two thin ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from model_builder.errors import BadSpec
from model_builder.passes.replacing import replaced

if TYPE_CHECKING:
    from torch import Tensor, nn

#: A layer with fewer inputs or outputs (ten logits) has no rank to spare.
_NARROW = 32


def factorise(network: nn.Module, *, amount: float) -> tuple[nn.Module, dict[str, dict[str, int]], dict[str, float]]:
    """Write the weights of wide Linear layers as the best product of two thin matrices (Eckart and Young 1936).

    Args:
        network: is changed.
        amount: share of a layer's weights that goes.

    Returns:
        The network; per layer its rank, for `reshape`; per layer the share of the sum of squares that is left.

    Raises:
        BadSpec: no layer is wide enough.
    """
    from torch import nn

    layers: dict[str, dict[str, int]] = {}
    energies: dict[str, float] = {}
    wide = [
        (name, module)
        for name, module in network.named_modules()
        if type(module) is nn.Linear and min(module.weight.shape) >= _NARROW
    ]
    for name, module in wide:
        outputs, inputs = module.weight.shape
        rank = max(1, int((1 - amount) * inputs * outputs / (inputs + outputs)))
        thin = _thin(module, rank=rank)
        energies[name] = _fill(thin, weight=module.weight, bias=module.bias)
        network = replaced(network, name=name, layer=thin)
        layers[name] = {"rank": rank}
    if not wide:
        raise BadSpec(
            f"prune.structure LowRank needs a Linear layer of at least {_NARROW} inputs and outputs, and the network "
            "has none: use Weights or Channels"
        )
    return network, layers, energies


def reshape(network: nn.Module, *, layers: Mapping[str, Mapping[str, int]]) -> nn.Module:
    """Two thin layers wherever the record has a rank, whatever is in their weights."""
    for name, size in layers.items():
        network = replaced(network, name=name, layer=_thin(network.get_submodule(name), rank=size["rank"]))
    return network


def _thin(layer: nn.Module, *, rank: int) -> nn.Sequential:
    """Two Linear layers of the given rank between them, in the place of one; not filled yet."""
    from torch import nn

    assert isinstance(layer, nn.Linear)
    first = nn.Linear(layer.in_features, rank, bias=False)
    return nn.Sequential(first, nn.Linear(rank, layer.out_features, bias=layer.bias is not None))


def _fill(thin: nn.Sequential, *, weight: Tensor, bias: Tensor | None) -> float:
    """Fill two thin layers; the share of the weights' sum of squares that they hold."""
    import torch
    from torch import nn

    first, second = thin[0], thin[1]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    with torch.no_grad():
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        rank = len(first.weight)
        root = values[:rank].sqrt()
        first.weight.copy_(root[:, None] * right[:rank])
        second.weight.copy_(left[:, :rank] * root)
        if bias is not None:
            second.bias.copy_(bias)
        return round(float(values[:rank].square().sum() / values.square().sum()), 4)
