"""Gives quantized layers back to floating point, the most sensitive first, until the accuracy holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from model_builder.passes import quality
from model_builder.passes.base import Context


class Quantizer(Protocol):
    """Writes the quantized graph to `to`, with the layers named in `without` left as they are."""

    def __call__(self, *, to: Path, without: Collection[str] = ()) -> None:
        """Write the file."""


def hold(*, floating: Path, layers: Sequence[str], quantize: Quantizer, margin: float, context: Context) -> Path:
    """The graph with the fewest of the most sensitive layers in float that is good enough on the validation split.

    Args:
        floating: the graph before quantization.
        layers: names of the nodes that can be left in float.
        quantize: makes a quantized graph.
        margin: how far the accuracy may fall (0.01: one point).
        context: is told which layers stayed in float.
    """
    data, candidate = context.data, context.workspace / "candidate.onnx"
    wanted = quality.answers(floating, data=data)
    least = quality.accuracy(wanted, data=data) - margin
    order: list[str] = []
    for count in range(len(layers)):
        if count == 1:
            order = _by_sensitivity(floating, layers=layers, quantize=quantize, context=context)
        quantize(to=candidate, without=order[:count])
        reached = quality.accuracy(quality.answers(candidate, data=data), data=data)
        if reached >= least - 1e-9:
            _tell(order[:count], of=len(layers), context=context)
            return candidate
    _tell(layers, of=len(layers), context=context)
    return floating


def _by_sensitivity(floating: Path, *, layers: Sequence[str], quantize: Quantizer, context: Context) -> list[str]:
    """Layers by how far the answers move when that layer alone is quantized, the farthest first."""
    candidate, data = context.workspace / "alone.onnx", context.data
    wanted, moved = quality.answers(floating, data=data), dict[str, float]()
    for done, layer in enumerate(layers, start=1):
        quantize(to=candidate, without=[other for other in layers if other != layer])
        moved[layer] = quality.distance(quality.answers(candidate, data=data), wanted)
        context.reporter.step(done=done, total=len(layers))
    return sorted(layers, key=lambda layer: -moved[layer])


def _tell(kept: Sequence[str], *, of: int, context: Context) -> None:
    context.record["floatLayers"] = list(kept)
    if kept:
        context.notes.append(
            f"{len(kept)} of {of} layers stayed in floating point, since the validation accuracy fell too far with "
            f"them quantized: {', '.join(kept)}"
        )
