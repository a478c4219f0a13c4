"""Supervised training on the training split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from model_builder import checkpoint
from model_builder.decode import Range
from model_builder.errors import GateFailed
from model_builder.passes.base import Context, Pass, Stage
from model_builder.passes.objective import judged, loss_sum

if TYPE_CHECKING:
    import torch
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
    """Train with AdamW on a one-cycle schedule; the order of rows follows the seed.

    Raises:
        GateFailed: the loss became NaN or infinite.
    """
    if parameters.epochs == 0:
        return network
    training = _Training(network, parameters=parameters, context=context)
    found = checkpoint.load(context.checkpoints)
    if found is not None:
        training.restore(found)
        context.notes.append(f"the training was interrupted, and went on after epoch {training.epoch}")
    network.train()
    while training.epoch < parameters.epochs:
        mean = training.run_epoch()
        if not math.isfinite(mean):
            raise GateFailed(
                f"training diverged in epoch {training.epoch}: the loss is {mean}; "
                f"lower learningRate (now {parameters.learning_rate:g})"
            )
        checkpoint.save(context.checkpoints, number=training.epoch, state=training.state())
        context.reporter.step(done=training.epoch, total=parameters.epochs, loss=round(mean, 5))
    return network.eval()


class _Training:
    """A training between two epochs: all that the next one depends on is in `state`."""

    def __init__(self, network: nn.Module, *, parameters: Parameters, context: Context) -> None:
        import torch

        self.epoch = 0
        self._network = network
        self._batch_size = parameters.batch_size
        train, self._task = context.data.train, context.data.task
        self._rows, self._labels = torch.from_numpy(train.rows), torch.from_numpy(train.labels)
        self._order = torch.Generator().manual_seed(context.seed)
        steps = math.ceil(len(self._rows) / parameters.batch_size)
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, max_lr=parameters.learning_rate, total_steps=steps * parameters.epochs
        )

    def run_epoch(self) -> float:
        """See every training row once; return the mean loss."""
        import torch

        total = 0.0
        for batch in torch.split(torch.randperm(len(self._rows), generator=self._order), self._batch_size):
            self._optimizer.zero_grad()
            loss = self._loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step()
            total += float(loss.detach()) * len(batch)
        self.epoch += 1
        return total / len(self._rows)

    def _loss(self, batch: torch.Tensor) -> torch.Tensor:
        labels = self._labels[batch]
        count = max(float(judged(labels).sum()), 1.0)
        return loss_sum(self._network(self._rows[batch]), labels, task=self._task) / count

    def state(self) -> dict[str, Any]:
        """What the epochs so far have left behind, chance included."""
        import torch

        return {
            "epoch": self.epoch,
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "order": self._order.get_state(),
            "chance": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        import torch

        self.epoch = state["epoch"]
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._order.set_state(state["order"])
        torch.set_rng_state(state["chance"])


PASS = Pass(
    name="train",
    stage=Stage.NETWORK,
    summary="trains the network on the labelled training rows",
    parameters=Parameters,
    apply=apply,
)
