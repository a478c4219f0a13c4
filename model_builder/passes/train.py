"""Supervised training of a classifier on the training split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from model_builder.decode import Range
from model_builder.errors import GateFailed
from model_builder.passes.base import Context, Pass, Stage

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Parameters:
    """How long and how fast."""

    epochs: Annotated[int, Range(0, 500), "passes over the training rows; 0 leaves the weights as they are"] = 8
    learning_rate: Annotated[float, Range(1e-7, 10), "peak learning rate of AdamW, reached early and then lowered"] = (
        0.002
    )
    batch_size: Annotated[int, Range(1, 8192), "rows per step"] = 32
    weight_decay: Annotated[float, Range(0, 1), "weight decay of AdamW"] = 0.01


def apply(*, network: nn.Module, parameters: Parameters, context: Context) -> nn.Module:
    """Train with AdamW on a one-cycle schedule; the order of rows follows the seed."""
    if parameters.epochs == 0:
        return network
    import torch

    rows, labels = (torch.from_numpy(part) for part in (context.data.train.rows, context.data.train.labels))
    order = torch.Generator().manual_seed(context.seed)
    steps = math.ceil(len(rows) / parameters.batch_size)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=parameters.learning_rate, total_steps=steps * parameters.epochs
    )
    network.train()
    for epoch in range(parameters.epochs):
        total = 0.0
        for batch in torch.split(torch.randperm(len(rows), generator=order), parameters.batch_size):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(rows[batch]), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        mean = total / len(rows)
        if not math.isfinite(mean):
            raise GateFailed(
                f"training diverged in epoch {epoch + 1}: the loss is {mean}; "
                f"lower learningRate (now {parameters.learning_rate:g})"
            )
        context.reporter.step(done=epoch + 1, total=parameters.epochs, loss=round(mean, 5))
    return network.eval()


PASS = Pass(
    name="train",
    stage=Stage.NETWORK,
    summary="trains the network on the labelled training rows",
    parameters=Parameters,
    apply=apply,
)
