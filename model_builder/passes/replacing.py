"""Putting another layer into a network, in the place of one that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def replaced(network: nn.Module, *, name: str, layer: nn.Module) -> nn.Module:
    """The network with another layer at a place; the layer itself where that is all of it."""
    if not name:
        return layer
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)
    return network
