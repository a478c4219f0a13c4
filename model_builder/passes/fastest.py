"""Chooses the number format by measuring: what is fastest here and accurate enough."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from model_builder import graph as graphs
from model_builder.decode import Range
from model_builder.errors import BadSpec
from model_builder.passes import float16, quality, quantize
from model_builder.passes.base import Context, Pass, Stage

#: In the order in which they win a tie.
FORMATS = ("Float32", "Float16", "Int8Static", "Int8Dynamic")
#: What is faster by less than this factor is noise, and not worth another format.
_WORTHWHILE = 1.05


@dataclass(frozen=True)
class Parameters:
    """How much accuracy speed may cost, and what is timed."""

    max_accuracy_drop: Annotated[float, Range(0, 1), "how far the validation accuracy may fall below that of FP32"] = (
        0.005
    )
    batch: Annotated[int, Range(1, 1024), "rows per timed call"] = 1
    calibration_rows: Annotated[int, Range(1, 100_000), "training rows that Int8Static is calibrated on"] = 256


def apply(*, graph: Path, parameters: Parameters, context: Context) -> Path:
    """Make the graph in every format, time them turn about in this process, and keep one.

    The times are those of ONNX Runtime with one thread on the CPU of the build. The choice is recorded: a build that
    replays it makes that format alone, and measures nothing.
    """
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = _make(name, graph=graph, parameters=parameters, context=context)
        return made[name]

    def best() -> str:
        for name in FORMATS:
            try:
                make(name)
            except BadSpec as error:  # a format that has nothing to convert in this graph
                context.notes.append(f"{name} was not tried: {error}")
        return _best(made, parameters=parameters, context=context)

    return make(context.choices.choose("format", among=FORMATS, measure=best))


def _make(name: str, *, graph: Path, parameters: Parameters, context: Context) -> Path:
    folder = context.workspace / name
    folder.mkdir()
    own = dataclasses.replace(context, workspace=folder, notes=[], record={})
    rows = parameters.calibration_rows
    if name == "Float16":
        return float16.apply(graph=graph, parameters=float16.Parameters(), context=own)
    if name == "Int8Static":
        return quantize.apply(graph=graph, parameters=quantize.Parameters(calibration_rows=rows), context=own)
    if name == "Int8Dynamic":
        return quantize.apply(graph=graph, parameters=quantize.Parameters(scheme="Int8Dynamic"), context=own)
    return graph


def _best(made: dict[str, Path], *, parameters: Parameters, context: Context) -> str:
    """The fastest of those that hold the accuracy; the figures of all are recorded."""
    import numpy

    from model_builder.evaluation import speed

    data = context.data
    accuracy = {name: quality.accuracy(quality.answers(path, data=data), data=data) for name, path in made.items()}
    least = accuracy["Float32"] - parameters.max_accuracy_drop - 1e-9
    rows = data.validation.rows[numpy.arange(parameters.batch) % len(data.validation.rows)]
    times = speed.latencies({name: graphs.open_session(path) for name, path in made.items()}, rows)
    context.record["formats"] = {
        name: {"accuracy": accuracy[name], "latencyP50Ms": round(times[name]["p50"], 4), "holds": value >= least}
        for name, value in accuracy.items()
    }
    cost = {name: times[name]["p50"] * (1.0 if name == "Float32" else _WORTHWHILE) for name in made}
    return min((name for name in made if accuracy[name] >= least), key=lambda name: cost[name])


PASS = Pass(
    name="fastest",
    stage=Stage.GRAPH,
    summary="keeps the fastest of FP32, FP16 and INT8 on this CPU that is accurate enough on the validation split",
    parameters=Parameters,
    apply=apply,
    tolerance=quantize.PASS.tolerance,
)
