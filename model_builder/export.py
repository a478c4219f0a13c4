"""From the torch network to an ONNX graph: raw rows in, answers for clients out, no trace of this machine."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from model_builder import graph
from model_builder.architectures.base import Architecture
from model_builder.data.base import Dataset, Task

if TYPE_CHECKING:
    from torch import nn

    from model_builder.spec import Export


def normalized(network: nn.Module, *, data: Dataset) -> nn.Module:
    """The network behind the normalization of its data set: every pass and every client gives it raw rows."""
    if data.normalization is None:
        return network
    import torch
    from torch import nn

    class Normalized(nn.Module):
        """`(row - mean) / scale`, with both as buffers, so that they are stored and exported with the weights."""

        mean: torch.Tensor
        scale: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            assert data.normalization is not None
            for name in ("mean", "scale"):
                values = torch.from_numpy(getattr(data.normalization, name)).to(torch.float32)
                self.register_buffer(name, values)
            self.network = network

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            answers: torch.Tensor = self.network((rows - self.mean) / self.scale)
            return answers

    return Normalized()


def served_network(network: nn.Module, *, task: Task) -> nn.Module:
    """The network as clients see it: logits of classes turned into probabilities, a regression as it is."""
    from torch import nn

    return network.eval() if task is Task.REGRESSION else nn.Sequential(network, nn.Softmax(dim=-1)).eval()


def export(*, architecture: Architecture, network: nn.Module, data: Dataset, options: Export, to: Path) -> None:
    """Write the graph, with post-processing inside."""
    import torch

    raw = to.with_name("exported.onnx")
    # Two rows: an example of one row would fix the batch dimension at one.
    example = torch.from_numpy(data.train.rows[:2])
    with quiet():
        program = torch.onnx.export(
            served_network(network, task=data.task),
            (example,),
            input_names=[architecture.input_name],
            output_names=[architecture.output_name],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=graph.RUNTIMES[options.runtime].opset,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(raw, external_data=True)  # tensor by tensor: in one file, it would take four times their size
    for value in program.model.graph.initializers.values():
        value.const_value = None  # the rules that simplified the graph keep it until the next one, weights and all
    adopt(raw, data=data, options=options, to=to)
    for path in (raw, raw.with_name(raw.name + ".data")):
        path.unlink(missing_ok=True)


def adopt(raw: Path, *, data: Dataset, options: Export, to: Path) -> None:
    """Bring a graph into the form that is served: cleaned, and with names of classes where they are asked for."""
    labels = data.classes if options.class_names and data.task is Task.CLASSIFICATION else ()
    graph.clean(raw, to=to, runtime=options.runtime, labels=labels)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporters warn about their own internals, where only our own lines belong."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
