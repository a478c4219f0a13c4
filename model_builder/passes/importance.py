"""How much the weights, or the channels, of a layer matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from model_builder.passes.base import Context
from model_builder.passes.objective import supervised

if TYPE_CHECKING:
    import torch
    from torch import nn

Importance = Literal["Magnitude", "Gradient"]
_ROWS_AT_ONCE = 64


def scores(
    network: nn.Module,
    *,
    layers: Sequence[str],
    by_channel: bool,
    importance: Importance,
    rows: int,
    context: Context,
) -> dict[str, torch.Tensor]:
    """Name of a layer -> one score per weight, or per output channel; a higher one is to be kept.

    Magnitude is the absolute weight, or the L2 norm of a channel's weights (Li et al. 2017, arXiv 1608.08710). Gradient
    is the square of weight times gradient, summed over the channel before it is squared, and averaged over batches: to
    first order, the change of the loss without it (Molchanov et al. 2019, arXiv 1906.10771).

    Args:
        network: its gradients are gone afterwards.
        layers: names of Linear and Conv2d modules.
        by_channel: score channels, not weights.
        importance: the measure.
        rows: training rows, drawn by the seed, that gradients are taken on.
        context: data and seed.
    """
    weights = {name: network.get_submodule(name).weight for name in layers}
    if importance == "Magnitude":
        plain = {name: weight.detach().abs() for name, weight in weights.items()}  # type: ignore[operator]
        return {name: w.flatten(1).norm(dim=1) if by_channel else w for name, w in plain.items()}

    def changes() -> dict[str, torch.Tensor]:
        return {name: _change(network.get_submodule(name), by_channel=by_channel) for name in layers}

    return by_gradient(network, changes=changes, rows=rows, context=context)


def by_gradient(
    network: nn.Module, *, changes: Callable[[], Mapping[str, torch.Tensor]], rows: int, context: Context
) -> dict[str, torch.Tensor]:
    """The squares of changes of the loss, averaged over batches.

    Args:
        network: its gradients are gone afterwards.
        changes: read off the gradients of a batch: name -> change of the loss, to first order, without each part.
        rows: training rows, drawn by the seed.
        context: data and seed.
    """
    import torch

    objective = supervised(context.data)
    chance = torch.Generator().manual_seed(context.seed)
    chosen = torch.randperm(objective.rows, generator=chance)[:rows]
    found: dict[str, torch.Tensor] = {}
    network.eval()
    for batch in torch.split(chosen, _ROWS_AT_ONCE):
        network.zero_grad()
        loss = objective.loss(network, batch, chance) / max(objective.weight(batch), 1.0)
        loss.backward()  # type: ignore[no-untyped-call]
        for name, change in changes().items():
            found[name] = found.get(name, torch.zeros_like(change)) + change.square() * len(batch) / len(chosen)
    network.zero_grad()
    return found


def _change(layer: nn.Module, *, by_channel: bool) -> torch.Tensor:
    """First-order change of the loss if each weight, or each channel with its bias, became zero."""
    import torch

    def product(tensor: object) -> torch.Tensor:
        assert isinstance(tensor, torch.Tensor)
        return torch.zeros_like(tensor) if tensor.grad is None else (tensor * tensor.grad).detach()

    change = product(layer.weight)
    if not by_channel:
        return change
    whole = change.flatten(1).sum(dim=1)
    return whole if layer.bias is None else whole + product(layer.bias)
