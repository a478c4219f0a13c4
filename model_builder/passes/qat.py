"""Quantization-aware training: the weights and ranges of an eight-bit graph learn to answer as the graph in float."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from model_builder import graph as graphs
from model_builder.data.base import Dataset, Task
from model_builder.decode import Range
from model_builder.passes import int8, qat_network, quality, quantize
from model_builder.passes.base import Context, Pass, Stage
from model_builder.passes.fitting import Settings, fit
from model_builder.passes.objective import Objective

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

#: Largest L2 norm of a step's gradient: a scale that is much too large has steep ones.
_CLIP = 1.0
#: How far the probabilities of one row may be from a sum of one.
_SUM = 1e-3


@dataclass(frozen=True)
class Parameters:
    """How long to train, and what the ranges are measured on at the start."""

    epochs: Annotated[int, Range(1, 500), "passes over the training rows and the unlabelled ones, at most"] = 5
    learning_rate: Annotated[
        float, Range(1e-7, 1), "peak learning rate of AdamW, then lowered along a cosine; for scales relative"
    ] = 0.0001
    batch_size: Annotated[int, Range(1, 8192), "rows per step"] = 32
    calibration_rows: Annotated[int, Range(1, 100_000), "training rows the first ranges are measured on, at most"] = 256


def apply(*, graph: Path, parameters: Parameters, context: Context) -> Path:
    """Quantize, train under that rounding, quantize again; keep what answers more like the graph in float.

    It learns from the answers of the graph before it, so rows need no labels, and also a graph that nobody has the
    network of can be trained.

    Raises:
        BadSpec: the graph has operators that can't be trained through.
        GateFailed: the training diverged.
    """
    data, train = context.data, context.data.train
    prepared = int8.prepare(graph, folder=context.workspace)
    chosen = quantize.stratified_order(train.labels, seed=context.seed)[: parameters.calibration_rows]
    ranges = int8.measure_ranges(prepared, sample=train.rows[chosen], method="MinMax")
    calibrated, trained = context.workspace / "calibrated.onnx", context.workspace / "learned.onnx"
    int8.static(prepared, ranges=ranges, method="MinMax", to=calibrated)
    points = qat_network.points(calibrated)
    objective, probabilities = _objective(prepared, data=data)
    network = qat_network.make(prepared, points=points, probabilities=probabilities)
    settings = Settings(
        epochs=parameters.epochs,
        learning_rate=parameters.learning_rate,
        batch_size=parameters.batch_size,
        weight_decay=0.0,
        clip=_CLIP,
    )
    context.record["training"] = fit(network, objective=objective, settings=settings, context=context, label="qat")
    learned, found = qat_network.write(
        network, prepared=prepared, ranges=ranges, points=points, folder=context.workspace
    )
    int8.static(learned, ranges=found, method="MinMax", to=trained)
    return _better({"calibrated": calibrated, "trained": trained}, floating=prepared, context=context)


def _better(made: dict[str, Path], *, floating: Path, context: Context) -> Path:
    """The one that answers more like the graph in float on the validation split; of equals the one without training."""
    data = context.data
    wanted = quality.answers(floating, data=data)
    accuracies, distances = {"float": quality.accuracy(wanted, data=data)}, {}
    for name, path in made.items():
        given = quality.answers(path, data=data)
        accuracies[name], distances[name] = quality.accuracy(given, data=data), quality.distance(given, wanted)
    kept = min(made, key=lambda name: distances[name])
    context.record.update({"accuracies": accuracies, "distances": distances, "kept": kept})
    told = ", ".join(f"{name} {distance:.3g}" for name, distance in distances.items())
    verdict = "the trained one is kept" if kept == "trained" else "training did not help: it is only calibrated"
    context.notes.append(f"qat: distances from the answers in float on the validation split are {told}; {verdict}")
    return made[kept]


def _objective(floating: Path, *, data: Dataset) -> tuple[Objective, bool]:
    """To answer as the graph in float does; and whether it answers with probabilities.

    For classes the Kullback-Leibler divergence from its answers, for a regression the squared distance.
    """
    import numpy
    import torch

    more = [] if data.unlabelled is None else [data.unlabelled.astype(data.train.rows.dtype)]
    given = numpy.concatenate([data.train.rows, *more])
    answers = graphs.predict(graphs.open_session(floating), given)
    probabilities = data.task is not Task.REGRESSION and _are_probabilities(answers)
    rows, wanted = torch.from_numpy(given), torch.from_numpy(answers)
    if data.task is not Task.REGRESSION:
        wanted = wanted.clamp(min=1e-9).log() if probabilities else wanted.log_softmax(dim=-1)
    constant = max(float(answers.var()), 1e-6) if data.task is Task.REGRESSION else math.log(max(answers.shape[-1], 2))

    def loss(network: torch.nn.Module, batch: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        del chance
        return _distance(network(rows[batch]), wanted[batch], task=data.task)

    each = answers[0].size if data.task is Task.REGRESSION else answers[0].size // answers.shape[-1]
    return (
        Objective(rows=len(given), loss=loss, weight=lambda batch: float(len(batch) * each), constant_loss=constant),
        probabilities,
    )


def _are_probabilities(answers: NDArray[Any]) -> bool:
    return bool((answers >= 0).all() and (abs(answers.sum(axis=-1) - 1) < _SUM).all())


def _distance(given: torch.Tensor, wanted: torch.Tensor, *, task: Task) -> torch.Tensor:
    from torch.nn import functional

    if task is Task.REGRESSION:
        return (given - wanted).square().sum()
    return functional.kl_div(given.log_softmax(dim=-1), wanted, log_target=True, reduction="sum")


PASS = Pass(
    name="qat",
    stage=Stage.GRAPH,
    summary="turns weights and activations into eight-bit integers and trains them to answer as before",
    parameters=Parameters,
    apply=apply,
    tolerance=quantize.PASS.tolerance,
)
