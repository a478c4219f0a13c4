"""Files of weights: safetensors, or a state dict of torch that holds nothing but tensors. Never a pickled network."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model_builder import architectures
from model_builder.architectures.base import Architecture
from model_builder.errors import BadData
from model_builder.sources import code, safety
from model_builder.sources.base import Fresh, Source, SourceModel, WantedEnds

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_safetensors(path: Path, *, name: str, source: Source, scratch: Path, fresh: Fresh) -> SourceModel:
    """A safetensors file."""
    del scratch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise BadData(f"{name} is not a readable safetensors file ({error}): upload it again") from error
    return _filled(state, name=name, source=source, made=fresh())


def load_state(path: Path, *, name: str, source: Source, scratch: Path, fresh: Fresh) -> SourceModel:
    """What `torch.save(network.state_dict())` wrote."""
    import torch

    del scratch
    safety.check_pickle(path, name=name)
    safety.check_archive(path, name=name, limit=source.max_bytes)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise BadData(
            f"{name} is no readable state dict ({' '.join(str(error).split())[:200]}): save it again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise BadData(f"{name} holds no state dict (names and tensors, nothing else): save network.state_dict()")
    return _filled(state, name=name, source=source, made=fresh())


def _filled(state: Mapping[str, Tensor], *, name: str, source: Source, made: Architecture) -> SourceModel:
    owner = source.code.factory if source.code else source.architecture
    if source.head == "Fresh":
        state = _with_head_of(made.network, state)
    try:
        made.network.load_state_dict(state, strict=True)
    except RuntimeError as error:  # torch's only error for names or shapes that do not fit
        first = " ".join(str(error).split())[:300]
        raise BadData(f"{name} holds no weights of architecture {owner!r}: {first}") from error
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise BadData(f"{name} holds weights that are NaN or infinite: the training that wrote them had diverged")
    return SourceModel(architecture=made, digest=None)


def _with_head_of(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `state`; those of the last layer, in the order the network names them, stay the network's own."""
    *_, head = [name for name, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))]
    return {**state} | {name: tensor for name, tensor in network.state_dict().items() if name.startswith(f"{head}.")}


def network(source: Source, *, seed: int, folder: Path, ends: WantedEnds | None) -> Architecture:
    """The network that weights belong to, still with fresh ones."""
    import torch

    torch.manual_seed(seed)
    if source.code is not None:
        return code.make(source.code, folder=folder)
    return architectures.make(source.architecture, parameters=source.parameters, ends=ends)
