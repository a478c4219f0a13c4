"""What a training learns from labels, and how far a network is from it on the validation split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from model_builder.data.base import IGNORED_LABEL, Dataset, Task

if TYPE_CHECKING:
    import torch
    from torch import nn

RegressionLoss = Literal["Squared", "Huber"]
#: Rows that are answered at once where no gradient is needed.
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Objective:
    """A loss over numbered rows.

    Attributes:
        rows: how many there are.
        loss: (network, row numbers, generator of all chance) -> the sum of the losses of these rows.
        weight: row numbers -> what the sum is to be divided by.
        constant_loss: mean loss of the best answer that does not look at its row: what a training must get below.
    """

    rows: int
    loss: Callable[[nn.Module, torch.Tensor, torch.Generator], torch.Tensor]
    weight: Callable[[torch.Tensor], float]
    constant_loss: float


def supervised(data: Dataset, *, regression_loss: RegressionLoss = "Squared") -> Objective:
    """Cross-entropy over the labels of the training rows, or a distance from their values; with augmentation."""
    import torch

    rows, labels = torch.from_numpy(data.train.rows), torch.from_numpy(data.train.labels)

    def loss(network: nn.Module, batch: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        given = rows[batch]
        if data.augmentation is not None:
            given = data.augmentation.apply(given, generator=chance)
        return loss_sum(network(given), labels[batch], task=data.task, regression_loss=regression_loss)

    return Objective(
        rows=len(rows),
        loss=loss,
        weight=lambda batch: float(judged(labels[batch]).sum()),
        constant_loss=constant_loss(labels, task=data.task),
    )


def judged(labels: torch.Tensor) -> torch.Tensor:
    """Which labels count."""
    return labels != IGNORED_LABEL if not labels.is_floating_point() else labels.isfinite()


def loss_sum(
    outputs: torch.Tensor, labels: torch.Tensor, *, task: Task, regression_loss: RegressionLoss = "Squared"
) -> torch.Tensor:
    """The loss of each label, added up.

    Args:
        outputs: (n, classes), (n, length, classes), or (n,) or (n, 1) for a regression.
        labels: (n,), or (n, length) for tokens.
        task: cross-entropy for classes.
        regression_loss: squared distance, or Huber's, which grows linearly from a distance of 1 on.
    """
    from torch.nn import functional

    if task is Task.REGRESSION:
        measure = functional.mse_loss if regression_loss == "Squared" else functional.huber_loss
        return measure(outputs.reshape(labels.shape), labels, reduction="sum")
    flat = outputs.reshape(-1, outputs.shape[-1])
    return functional.cross_entropy(flat, labels.reshape(-1), ignore_index=IGNORED_LABEL, reduction="sum")


def constant_loss(labels: torch.Tensor, *, task: Task) -> float:
    """The loss of always answering with the mean, or with the shares of the classes; at least a little."""
    import torch

    if task is Task.REGRESSION:
        # A network may start with answers around zero, far from the mean: that is no divergence.
        return max(float(labels.square().mean()), 1e-6)
    counts = torch.bincount(labels[judged(labels)].reshape(-1)).double()
    shares = counts[counts > 0] / counts.sum()
    return max(float(-(shares * shares.log()).sum()), 0.1)


def answered(network: nn.Module, *, rows: torch.Tensor) -> Iterator[torch.Tensor]:
    """Answers without gradients, some rows at a time: all at once may be more than fits into memory."""
    import torch

    for some in torch.split(rows, _ROWS_AT_ONCE):
        with torch.no_grad():
            yield network(some)


def error_and_loss(network: nn.Module, *, data: Dataset) -> tuple[float, float]:
    """On the validation split: the share of wrong answers, or the mean squared error; and the mean loss."""
    import torch

    rows, labels = torch.from_numpy(data.validation.rows), torch.from_numpy(data.validation.labels)
    loss = wrong = 0.0
    for outputs, wanted in zip(answered(network, rows=rows), torch.split(labels, _ROWS_AT_ONCE), strict=True):
        loss += float(loss_sum(outputs, wanted, task=data.task))
        if data.task is not Task.REGRESSION:
            wrong += float(((outputs.argmax(dim=-1) != wanted) & judged(wanted)).sum())
    weight = max(float(judged(labels).sum()), 1.0)
    return (loss if data.task is Task.REGRESSION else wrong) / weight, loss / weight
