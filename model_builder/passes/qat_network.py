"""A graph as a network that learns under the rounding of its eight-bit form, and the graph that it becomes again.

Where a graph is rounded is read off what ONNX Runtime's quantizer made of it, so that the training sees what is served.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder.passes import qat_operators

if TYPE_CHECKING:
    import onnx
    from torch import nn

#: The largest number of eight bits without a sign, and with one.
_UNSIGNED, _SIGNED = 255, 127
#: A scale may have to become a tenth, where weights only move a little: at a rate for weights it would take for ever.
_HASTE = 30.0


@dataclass(frozen=True)
class Grid:
    """The numbers that a tensor is rounded to: `scale` times -`zero` to 255 - `zero`."""

    scale: float
    zero: int


@dataclass(frozen=True)
class Points:
    """Where an eight-bit graph rounds.

    Attributes:
        activations: tensor -> the name of its scale; what only moves numbers has the scale of its input.
        grids: name of a scale -> what it stands for.
        weights: name of a weight -> the dimension of its channels, each with a scale of its own; None for one scale.
    """

    activations: Mapping[str, str]
    grids: Mapping[str, Grid]
    weights: Mapping[str, int | None]


def points(quantized: Path) -> Points:
    """Read them off a graph that `int8.static` wrote."""
    import onnx
    from onnx import numpy_helper

    part = onnx.load(quantized).graph
    tensors = {tensor.name: tensor for tensor in part.initializer}
    activations, grids, weights = {}, dict[str, Grid](), {}
    for node in part.node:
        if node.op_type == "QuantizeLinear":
            activations[node.input[0]] = node.input[1]
            scale, zero = (numpy_helper.to_array(tensors[name]) for name in node.input[1:3])
            grids[node.input[1]] = Grid(scale=float(scale), zero=int(zero))
        elif node.op_type == "DequantizeLinear" and node.input[0] in tensors:
            kept = tensors[node.input[0]]
            if kept.data_type == onnx.TensorProto.INT8:
                axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
                whole = not tensors[node.input[1]].dims
                weights[node.input[0].removesuffix("_quantized")] = None if whole else axis % len(kept.dims)
    return Points(activations=activations, grids=grids, weights=weights)


def make(prepared: Path, *, points: Points, probabilities: bool) -> nn.Module:
    """A network from raw rows to the logits of the graph's first output, rounded at these points.

    Its parameters are the weights, the biases of their layers, and the logarithm of every scale: what a step of a scale
    gains follows from the rounding itself (LSQ, Esser et al. 2020, arXiv 1902.08153).

    Args:
        prepared: from `int8.prepare`.
        points: of the same graph.
        probabilities: the graph answers with them, and not with logits.

    Raises:
        BadSpec: the graph has operators that can't be trained through.
    """
    import onnx
    import torch
    from onnx import numpy_helper
    from torch import nn

    part = onnx.load(prepared).graph
    nodes = _needed(part)
    qat_operators.check(nodes)
    attributes = [{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in nodes]
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in part.initializer if tensor.name in used]
    constants = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in kept}
    learned, order = _learned(part, points=points), sorted(points.grids)
    entry, answer = part.input[0].name, part.output[0].name

    class Rounded(nn.Module):
        """Computes the graph node by node."""

        def __init__(self) -> None:
            super().__init__()
            self.learned = nn.ParameterList([nn.Parameter(constants[name].clone()) for name in learned])
            logarithms = [torch.tensor(points.grids[name].scale).clamp(min=1e-12).log() for name in order]
            self.scales = nn.ParameterList([nn.Parameter(value / _HASTE) for value in logarithms])

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            scales = dict(zip(order, self.scales, strict=True))
            values: dict[str, Any] = {**constants, "": None}
            for name, weight in zip(learned, self.learned, strict=True):
                values[name] = _rounded(weight, axis=points.weights[name]) if name in points.weights else weight
            values[entry] = _quantized(rows, entry, points=points, scales=scales)
            for node, told in zip(nodes, attributes, strict=True):
                made = qat_operators.compute(node, [values[name] for name in node.input], told)
                values[node.output[0]] = _quantized(made, node.output[0], points=points, scales=scales)
            given: torch.Tensor = values[answer]
            return given.clamp(min=1e-9).log() if probabilities else given

    return Rounded()


def write(network: nn.Module, *, prepared: Path, ranges: Path, points: Points, folder: Path) -> tuple[Path, Path]:
    """The graph with the weights that were learned, and its ranges with the scales that were.

    Args:
        network: from `make`.
        prepared: the graph that it was made from.
        ranges: of that graph, from `int8.measure_ranges` with MinMax.
        points: as for `make`.
        folder: where both are written.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(prepared)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    found, logarithms = network.learned, network.scales
    for name, weight in zip(_learned(model.graph, points=points), found, strict=True):  # type: ignore[arg-type]
        tensors[name].CopyFrom(numpy_helper.from_array(weight.detach().numpy(), name))
    trained = folder / "trained.onnx"
    onnx.save(model, trained, save_as_external_data=True, location="trained.data")
    told = json.loads(ranges.read_text())
    order = sorted(points.grids)
    scales = {name: float((_HASTE * value.detach()).exp()) for name, value in zip(order, logarithms, strict=True)}  # type: ignore[arg-type]
    for tensor, name in points.activations.items():
        entry, zero = told["data"].get(tensor), points.grids[name].zero
        if entry is not None:  # what only moves numbers has no range of its own
            entry["lowest"]["data"], entry["highest"]["data"] = (
                [steps * scales[name]] for steps in (-zero, _UNSIGNED - zero)
            )
    learned_ranges = folder / "trained.ranges.json"
    learned_ranges.write_text(json.dumps(told))
    return trained, learned_ranges


def _quantized(values: Any, name: str, *, points: Points, scales: Mapping[str, Any]) -> Any:
    """Rounded and cut off where the eight-bit graph does; gradients pass the rounding as if it were not there."""
    scale = points.activations.get(name)
    if scale is None:
        return values
    step, zero = (_HASTE * scales[scale]).exp(), points.grids[scale].zero
    counted = (values / step).clamp(-zero, _UNSIGNED - zero)
    return step * (counted + (counted.round() - counted).detach())


def _rounded(weight: Any, *, axis: int | None) -> Any:
    """Every channel with the scale that its largest weight asks for, as ONNX Runtime takes it."""
    others = [d for d in range(weight.ndim) if d != axis]
    step = (weight.detach().abs().amax(dim=others, keepdim=True) / _SIGNED).clamp(min=1e-12)
    return weight + ((weight / step).round() * step - weight).detach()


def _needed(part: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that the first output depends on, in their order: names of classes are text, and not trained."""
    wanted, found = {part.output[0].name}, []
    for node in reversed(part.node):
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def _learned(part: onnx.GraphProto, *, points: Points) -> list[str]:
    """The weights that are rounded, and the biases of their layers, in the order of the file."""
    layers = [node for node in _needed(part) if node.op_type in ("Conv", "Gemm")]
    biases = {node.input[2] for node in layers if len(node.input) > 2}
    return [tensor.name for tensor in part.initializer if tensor.name in points.weights or tensor.name in biases]
