"""How a network is trained: optimizer, learning rate over time, and sizes of batches and steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

Schedule = Literal["Constant", "Linear", "Cosine"]


@dataclass(frozen=True)
class Settings:
    """How to train. The passes' own parameters say what may be set, and within which limits.

    Attributes:
        batch_size: rows whose gradients are computed at once.
        accumulation: batches that make one step.
        clip: largest L2 norm of the gradient of a step; 0: none.
        patience: epochs without a lower validation loss after which to stop and take the best; 0: take the last.
        warmup: share of the steps in which the rate rises.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    optimizer: Literal["AdamW", "Sgd"] = "AdamW"
    schedule: Schedule = "Cosine"
    warmup: float = 0.1
    weight_decay: float = 0.01
    accumulation: int = 1
    clip: float = 0.0
    patience: int = 0


def rate_factor(done: float, *, warmup: float, schedule: Schedule) -> float:
    """What the peak rate is multiplied with when the share `done` of all steps is over; never zero before the end."""
    if done < warmup:
        return done / warmup
    rest = (1 - done) / (1 - warmup)
    factors: dict[Schedule, float] = {"Constant": 1.0, "Linear": rest, "Cosine": (1 - math.cos(math.pi * rest)) / 2}
    return factors[schedule]


def make_optimizer(network: nn.Module, *, settings: Settings) -> torch.optim.Optimizer:
    """Weight decay is for matrices: on biases and scales of norms it only shifts what they have learned."""
    import torch

    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    if settings.optimizer == "Sgd":
        return torch.optim.SGD(filled, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(filled, lr=settings.learning_rate)
