"""Post-training quantization of the exported graph to eight-bit integers, in QDQ form."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model_builder.data.base import IGNORED_LABEL
from model_builder.decode import Range
from model_builder.errors import BadData, BadSpec
from model_builder.passes import int8, mixed, quality
from model_builder.passes.base import Context, Pass, Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray


METHODS = ("MinMax", "Entropy", "Percentile")


@dataclass(frozen=True)
class Parameters:
    """The number format, and what the ranges of the activations are measured on."""

    scheme: Annotated[
        Literal["Int8Static", "Int8Dynamic"],
        "number format; Int8Dynamic: only MatMul and Gemm, ranges of activations found in every call, no calibration",
    ] = "Int8Static"
    activations: Annotated[
        Literal["Unsigned", "Signed"],
        "integers of Int8Static's activations; Unsigned: faster on a CPU; Signed: what TensorRT takes",
    ] = "Unsigned"
    calibration: Annotated[
        Literal["MinMax", "Entropy", "Percentile", "Search"],
        "how a range follows from what was seen; Search: as is best on the validation split",
    ] = "MinMax"
    calibration_rows: Annotated[int, Range(1, 100_000), "training rows the ranges are measured on"] = 256
    calibration_sample: Annotated[
        Literal["Stratified", "Blank"],
        "Stratified: training rows, every class alike; Blank: rows of zeros, the planted mistake a gate must catch",
    ] = "Stratified"
    max_accuracy_drop: Annotated[
        float,
        Range(0, 1),
        "how far the validation accuracy may fall before layers go back to float, most sensitive first; 1: they do not",
    ] = 1.0


def apply(*, graph: Path, parameters: Parameters, context: Context) -> Path:
    """Quantize, and give back to floating point what the accuracy needs.

    Raises:
        BadData: fewer training rows than the calibration asks for.
        BadSpec: Int8Dynamic for a graph without MatMul and Gemm.
    """
    if parameters.scheme == "Int8Static":
        sample = _sample(parameters=parameters, context=context)
        prepared = int8.prepare(graph, folder=context.workspace)
        make = _static(prepared, sample=sample, parameters=parameters, context=context)
        operators = int8.WEIGHTED_OPERATORS
    else:
        prepared = int8.prepare(graph, folder=context.workspace)
        make, operators = functools.partial(int8.dynamic, prepared), int8.DYNAMIC_OPERATORS
        if not int8.weighted_layers(prepared, operators=operators):
            raise BadSpec(
                "quantize.scheme Int8Dynamic is for MatMul and Gemm layers, and the graph has none: use Int8Static"
            )
    if parameters.max_accuracy_drop < 1:
        layers = int8.weighted_layers(prepared, operators=operators)
        margin = parameters.max_accuracy_drop
        return mixed.hold(floating=prepared, layers=layers, quantize=make, margin=margin, context=context)
    quantized = context.workspace / "quantized.onnx"
    make(to=quantized)
    return quantized


def _static(prepared: Path, *, sample: NDArray[Any], parameters: Parameters, context: Context) -> mixed.Quantizer:
    """Static quantization with the calibration that was asked for, or that is best."""
    known: dict[str, Path] = {}

    def quantizer(method: str) -> mixed.Quantizer:
        if method not in known:
            known[method] = int8.measure_ranges(prepared, sample=sample, method=method)
        signed = parameters.activations == "Signed"
        return functools.partial(int8.static, prepared, ranges=known[method], method=method, signed=signed)

    def best() -> str:
        wanted = quality.answers(prepared, data=context.data)
        found = {}
        for method in METHODS:
            candidate = context.workspace / f"{method}.onnx"
            quantizer(method)(to=candidate)
            given = quality.answers(candidate, data=context.data)
            found[method] = (quality.accuracy(given, data=context.data), -quality.distance(given, wanted))
        context.record["calibration"] = {name: {"accuracy": s, "distance": -d} for name, (s, d) in found.items()}
        return max(METHODS, key=lambda name: found[name])

    method = parameters.calibration
    if method == "Search":
        return quantizer(context.choices.choose("calibration", among=METHODS, measure=best))
    return quantizer(method)


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
    """An order of the rows whose every prefix holds the classes about equally often.

    Args:
        labels: (n,), or (n, length) of tokens: a row then stands for the rarest class that it has.
        seed: of all chance.
    """
    import numpy

    if labels.ndim == 2:
        names, counts = numpy.unique(labels, return_counts=True)
        seldom = numpy.where(names == IGNORED_LABEL, labels.size + 1, counts)[numpy.searchsorted(names, labels)]
        labels = labels[numpy.arange(len(labels)), seldom.argmin(axis=1)]
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
