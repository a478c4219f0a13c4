"""The weights of a network in a file without code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def save(network: nn.Module, *, to: Path) -> dict[str, str]:
    """Write the weights; the names of tensors that share memory with another one are returned, not written twice."""
    from safetensors.torch import save_file

    kept: dict[tuple[Any, ...], str] = {}
    state: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in network.state_dict().items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if tensor.numel() and place in kept:
            aliases[name] = kept[place]
            continue
        kept[place] = name
        state[name] = tensor.contiguous()
    save_file(state, to)
    return aliases


def load(path: Path, *, aliases: Mapping[str, str]) -> dict[str, Tensor]:
    """Read what `save` wrote, with the names that it returned."""
    from safetensors.torch import load_file

    state: dict[str, Tensor] = load_file(path)
    return state | {name: state[original] for name, original in aliases.items()}
