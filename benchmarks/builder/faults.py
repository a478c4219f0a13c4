"""The classic mistakes, planted as passes of their own: the gates that every build has are to catch each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import passes
from model_builder.passes.base import Context, Pass, Stage

if TYPE_CHECKING:
    import onnx
    from torch import nn

#: Share of the weights that a pruning with no training afterwards sets to zero.
_PRUNED = 0.95


@dataclass(frozen=True)
class Parameters:
    """None."""


def unscaled(model: onnx.ModelProto) -> onnx.ModelProto:
    """Pixels 16 times too large: the scaling was done twice."""
    import numpy
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(numpy.array(16, dtype="float32"), "sixteen"))
    return _before_the_rest(model, "Mul", "sixteen")


def transposed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rows and columns of the image swapped."""
    return _before_the_rest(model, "Transpose", perm=[0, 2, 1])


def pruned(*, network: nn.Module, parameters: Parameters, context: Context) -> nn.Module:
    """The smallest weights set to zero, and nothing learned after."""
    import torch

    del parameters, context
    weights = [p for p in network.parameters() if p.dim() > 1]
    limit = torch.cat([p.detach().abs().flatten() for p in weights]).quantile(_PRUNED)
    with torch.no_grad():
        for weight in weights:
            weight.mul_(weight.abs() > limit)
    return network


def _on_graph(name: str, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Pass:
    def apply(*, graph: Path, parameters: Parameters, context: Context) -> Path:
        import onnx

        del parameters
        to = context.workspace / "changed.onnx"
        onnx.save(change(onnx.load(graph)), to)
        return to

    return Pass(name=name, stage=Stage.GRAPH, summary="", parameters=Parameters, apply=apply)


def _before_the_rest(model: onnx.ModelProto, kind: str, *more: str, **attributes: Any) -> onnx.ModelProto:
    """Put a node between the input and all that uses it."""
    from onnx import helper

    source = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["planted" if name == source else name for name in node.input]
    model.graph.node.insert(0, helper.make_node(kind, [source, *more], ["planted"], **attributes))
    return model


_PLANTED = (
    _on_graph("planted-unscaled", unscaled),
    _on_graph("planted-transposed", transposed),
    Pass(name="planted-pruned", stage=Stage.NETWORK, summary="", parameters=Parameters, apply=pruned, lossy=True),
)
#: Name of the fault -> the step that makes it.
FAULTS: dict[str, dict[str, Any]] = {
    "blank calibration": {"pass": "quantize", "parameters": {"calibrationSample": "Blank"}},
    "scaled twice": {"pass": "planted-unscaled"},
    "transposed": {"pass": "planted-transposed"},
    "pruned by 95 %, not trained": {"pass": "planted-pruned"},
}


@contextlib.contextmanager
def planted() -> Iterator[None]:
    """Have the faults among the passes."""
    before = passes.REGISTRY
    passes.REGISTRY = {**before, **{entry.name: entry for entry in _PLANTED}}
    try:
        yield
    finally:
        passes.REGISTRY = before
