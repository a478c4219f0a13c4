"""From the torch network to an ONNX graph: probabilities out, any number of rows, no trace of this machine."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from model_builder import graph
from model_builder.architectures.base import Architecture
from model_builder.passes.base import Context

if TYPE_CHECKING:
    from torch import nn


def served_network(network: nn.Module) -> nn.Module:
    """The network as clients see it: its logits turned into probabilities."""
    from torch import nn

    return nn.Sequential(network, nn.Softmax(dim=-1)).eval()


def export(*, architecture: Architecture, network: nn.Module, context: Context) -> Path:
    """Write the graph into the workspace."""
    import torch

    raw, cleaned = context.workspace / "exported.onnx", context.workspace / "float.onnx"
    # Two rows: an example of one row would fix the batch dimension at one.
    example = torch.from_numpy(context.data.train.rows[:2])
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns about its own internals
            torch.onnx.export(
                served_network(network),
                (example,),
                raw,
                input_names=[architecture.input_name],
                output_names=[architecture.output_name],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                opset_version=graph.MAX_OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    graph.clean(raw, to=cleaned)
    return cleaned
