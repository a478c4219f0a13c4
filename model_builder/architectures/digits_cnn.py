"""A small convolutional network for 8x8 digits: 151 000 parameters, raw pixels 0 to 16 in, ten logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_builder.architectures.base import Architecture

if TYPE_CHECKING:
    from torch import Tensor


def make() -> Architecture:
    """A fresh network; its weights follow torch's seed."""
    import torch
    from torch import nn

    class DigitsCnn(nn.Module):
        """Scaling is part of the network, so that clients send what the sensor gave."""

        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 32, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.Conv2d(32, 64, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(64 * 4 * 4, 128), nn.ReLU(), nn.Linear(128, 10))

        def forward(self, image: Tensor) -> Tensor:
            scaled = image.unsqueeze(1) / 16.0
            logits: torch.Tensor = self.head(self.features(scaled))
            return logits

    return Architecture(network=DigitsCnn(), input_name="image", output_name="probabilities")
