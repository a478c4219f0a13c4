"""Digits by learned grey levels and averaged views: accurate on data like its own, heavy, and strict about its input.

Each pixel value 0 to 16 has a learned vector, and the answer is the mean over 25 shifted views of the image. Two
honest costs come with that, and neither shows in an accuracy gate: it computes some hundred times as much as
`digits-cnn`, and a pixel value that the table does not have (17 and more, from a brighter scanner) is an error,
where `digits-cnn` just computes on. That makes it the model a canary is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_builder.architectures.base import Architecture

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 17
_REACH = 2


def make() -> Architecture:
    """A fresh network; its weights and the shifts of its training follow torch's seed."""
    import torch
    from torch import nn

    class DigitsLookup(nn.Module):
        """One random view in training, all views when it answers."""

        def __init__(self) -> None:
            super().__init__()
            self.levels = nn.Embedding(LEVELS, 16)
            self.features = nn.Sequential(
                nn.Conv2d(16, 96, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.Conv2d(96, 192, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(192 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10))

        def forward(self, image: Tensor) -> Tensor:
            padded = nn.functional.pad(image, [_REACH] * 4)
            span = range(2 * _REACH + 1)
            if self.training:
                down, right = (int(torch.randint(0, len(span), ())) for _ in range(2))
                return self._logits(padded[:, down : down + 8, right : right + 8])
            views = torch.stack([padded[:, y : y + 8, x : x + 8] for y in span for x in span], dim=1)
            logits = self._logits(views.flatten(0, 1))
            return logits.reshape(-1, len(span) ** 2, logits.shape[-1]).mean(dim=1)

        def _logits(self, image: Tensor) -> Tensor:
            vectors = self.levels(image.long()).permute(0, 3, 1, 2)
            logits: torch.Tensor = self.head(self.features(vectors))
            return logits

    return Architecture(network=DigitsLookup(), input_name="image", output_name="probabilities")
