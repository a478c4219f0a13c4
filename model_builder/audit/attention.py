"""Attention rollout: which tokens a transformer looks at, over all layers (Abnar and Zuidema, ACL 2020).

Half of each layer's attention is the token itself (the residual connection), and layers multiply. It follows attention
alone, not what is done with it: a hint for people, so no gate is put on it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy

from model_builder.audit.base import Audit, AuditResult, Subject, not_run
from model_builder.decode import Range

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn


@dataclass(frozen=True)
class Parameters:
    """How much is looked at."""

    rows: Annotated[int, Range(1, 100), "test rows whose attention is followed"] = 4


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Follow the attention of some test rows."""
    import torch

    if subject.network is None:
        return not_run("attention was not run: there is no torch twin of the exported model")
    rows = subject.data.test.rows[: parameters.rows]
    with recorded(subject.network) as layers, torch.inference_mode():
        subject.network(torch.from_numpy(rows))
    if not layers:
        return not_run("attention was not run: the network has no attention of torch's own kind")
    flow = rollout(layers)
    vocabulary = subject.data.vocabulary
    shown = [
        {
            "tokens": [vocabulary[t] for t in row.tolist()] if vocabulary and row.ndim == 1 else None,
            "received": numpy.round(matrix.mean(axis=0), 6).tolist(),
        }
        for row, matrix in zip(rows, flow, strict=True)
    ]
    return AuditResult(tables={"rollout": shown})


@contextlib.contextmanager
def recorded(network: nn.Module) -> Iterator[list[NDArray[Any]]]:
    """The attention of every `MultiheadAttention` that runs within, as (n, tokens, tokens), mean over the heads."""
    import torch
    from torch import nn

    layers: list[NDArray[Any]] = []

    def ask(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return positional, {**named, "need_weights": True, "average_attn_weights": True}

    def keep(_: nn.Module, __: tuple[Any, ...], result: tuple[Tensor, Tensor]) -> None:
        weights = result[1].numpy()
        layers.append(weights if weights.ndim == 3 else weights[None])

    found = [module for module in network.modules() if isinstance(module, nn.MultiheadAttention)]
    hooks = [module.register_forward_pre_hook(ask, with_kwargs=True) for module in found]
    hooks += [module.register_forward_hook(keep) for module in found]
    # The fast path of an encoder computes attention without calling its modules.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield layers
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for hook in hooks:
            hook.remove()


def rollout(layers: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """(n, tokens, tokens): how much of each token reaches each place; every row adds up to 1.

    Args:
        layers: of each layer, first one first, (n, tokens, tokens), rows adding up to 1.
    """
    size = layers[0].shape[-1]
    flow: NDArray[Any] = numpy.broadcast_to(numpy.eye(size), layers[0].shape)
    for weights in layers:
        flow = (0.5 * weights + 0.5 * numpy.eye(size)) @ flow
    return flow


AUDIT = Audit(
    name="attention",
    summary="follows attention through the layers of a transformer (attention rollout)",
    parameters=Parameters,
    run=run,
    gates=(),
)
