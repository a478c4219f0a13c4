"""Post-training quantization of the exported graph to eight-bit integers, in QDQ form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model_builder.decode import Range
from model_builder.errors import BadData
from model_builder.passes import int8
from model_builder.passes.base import Context, Pass, Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Parameters:
    """The number format, and what the ranges of the activations are measured on."""

    scheme: Annotated[Literal["Int8Static"], "number format"] = "Int8Static"
    calibration: Annotated[Literal["MinMax", "Entropy", "Percentile"], "how a range follows from what was seen"] = (
        "MinMax"
    )
    calibration_rows: Annotated[int, Range(1, 100_000), "training rows the ranges are measured on"] = 256
    calibration_sample: Annotated[
        Literal["Stratified", "Blank"],
        "Stratified: training rows, every class alike; Blank: rows of zeros, the planted mistake a gate must catch",
    ] = "Stratified"


def apply(*, graph: Path, parameters: Parameters, context: Context) -> Path:
    """Symmetric per-channel INT8 weights and INT8 activations, ranges fixed by calibration."""
    sample = _sample(parameters=parameters, context=context)
    prepared = int8.prepare(graph, folder=context.workspace)
    quantized = context.workspace / "quantized.onnx"
    ranges = int8.measure_ranges(prepared, sample=sample, method=parameters.calibration)
    int8.static(prepared, ranges=ranges, method=parameters.calibration, to=quantized)
    return quantized


def _sample(*, parameters: Parameters, context: Context) -> NDArray[Any]:
    import numpy

    train = context.data.train
    if parameters.calibration_rows > len(train.rows):
        raise BadData(
            f"quantize.calibrationRows is {parameters.calibration_rows}, but the training split of "
            f"{context.data.name!r} has {len(train.rows)} rows: ask for fewer"
        )
    if parameters.calibration_sample == "Blank":
        return numpy.zeros_like(train.rows[: parameters.calibration_rows])
    chosen = stratified_order(train.labels, seed=context.seed)[: parameters.calibration_rows]
    sample: NDArray[Any] = train.rows[chosen]
    return sample


def stratified_order(labels: NDArray[Any], *, seed: int) -> NDArray[Any]:
    """An order of the rows whose every prefix holds the classes about equally often."""
    import numpy

    random = numpy.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    turn = numpy.empty(len(labels))
    for label in numpy.unique(labels):
        members = numpy.flatnonzero(labels[shuffled] == label)
        turn[members] = numpy.arange(len(members)) + random.random(len(members))
    order: NDArray[Any] = shuffled[numpy.argsort(turn, kind="stable")]
    return order


PASS = Pass(
    name="quantize",
    stage=Stage.GRAPH,
    summary="turns weights and activations into eight-bit integers, with ranges from a calibration sample",
    parameters=Parameters,
    apply=apply,
    tolerance=0.05,
)
