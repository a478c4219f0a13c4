"""A small transformer encoder, and rows of tokens that it can learn: which of four groups is in front."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

VOCABULARY, LENGTH, WIDTH, LAYERS, CLASSES = 200, 32, 256, 2, 4
_ROWS = 800


def make() -> nn.Module:
    """A fresh network, (n, LENGTH) tokens in, (n, CLASSES) logits out; its weights follow torch's seed."""
    import torch
    from torch import nn

    class Encoder(nn.Module):
        """Embedded tokens and places, layers of attention, the mean over the tokens."""

        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.places = nn.Parameter(torch.randn(LENGTH, WIDTH) * 0.02)
            layer = nn.TransformerEncoderLayer(WIDTH, nhead=4, dim_feedforward=4 * WIDTH, dropout=0.0, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
            self.head = nn.Linear(WIDTH, CLASSES)

        def forward(self, tokens: Tensor) -> Tensor:
            logits: Tensor = self.head(self.layers(self.tokens(tokens) + self.places).mean(dim=1))
            return logits

    return Encoder()


def inputs(folder: Path, *, seed: int) -> dict[str, Any]:
    """Write rows and fresh weights; the `source` and the `data` of a spec."""
    import numpy
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    save_file(make().state_dict(), folder / "encoder.safetensors")
    random = numpy.random.default_rng(seed)
    labels = random.integers(0, CLASSES, _ROWS)
    chances = numpy.full((CLASSES, VOCABULARY), 1.0)
    for label in range(CLASSES):
        chances[label, label::CLASSES] = 2.5
    chances /= chances.sum(axis=1, keepdims=True)
    rows = numpy.stack([random.choice(VOCABULARY, size=LENGTH, p=chances[label]) for label in labels])
    numpy.savez(folder / "tokens.npz", rows=rows.astype("int64"), label=labels)
    return {
        "source": {
            "uri": (folder / "encoder.safetensors").as_uri(),
            "code": {"factory": f"{__name__}:make", "inputName": "tokens", "outputName": "probabilities"},
        },
        "data": {"name": "tokens", "seed": seed, "format": "Arrays", "uri": (folder / "tokens.npz").as_uri()},
    }
