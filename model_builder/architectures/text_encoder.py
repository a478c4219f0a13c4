"""A small transformer encoder: numbers of tokens in, logits of the row or of every token out.

Vaswani et al., NeurIPS 2017, with the norms before attention and feed-forward (Xiong et al., ICML 2020), which learns
without a warm-up. There is one input: what is padding is read off the numbers, so that clients need no mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from model_builder.architectures.base import Architecture, Ends
from model_builder.data.text import NUMBER_OF_PADDING, NUMBER_OF_UNKNOWN
from model_builder.decode import Range
from model_builder.errors import BadSpec

if TYPE_CHECKING:
    from torch import Tensor

#: Wave lengths of the places run from 2 pi to this times 2 pi (Vaswani et al., section 3.5).
_LONGEST_WAVE = 10_000.0


@dataclass(frozen=True)
class Parameters:
    """The size of the network; vocabulary, length and outputs follow from the data."""

    width: Annotated[int, Range(4, 8192), "numbers per token; a multiple of heads, and even"] = 64
    heads: Annotated[int, Range(1, 128), "heads of each attention"] = 4
    layers: Annotated[int, Range(1, 96), "layers of attention and feed-forward"] = 2
    hidden: Annotated[int, Range(1, 65536), "units between the two matrices of a feed-forward"] = 256
    dropout: Annotated[float, Range(0, 0.9), "share of numbers that training sets to zero"] = 0.1


def check(parameters: Parameters, *, where: str) -> None:
    """Refuse sizes that do not go together. BadSpec."""
    if parameters.width % parameters.heads or parameters.width % 2:
        raise BadSpec(
            f"{where}.width is {parameters.width}; it must be even and a multiple of heads ({parameters.heads})"
        )


def make(*, parameters: Parameters, ends: Ends) -> Architecture:
    """A fresh encoder; its weights follow torch's seed.

    Rows are (n, length) int64 of any length; logits are (n, outputs), or (n, length, outputs) per token. Numbers that
    the vocabulary does not have count as unknown words: one client's bad number fails nobody's request.
    """
    import torch
    from torch import nn

    class Layer(nn.Module):
        """Attention over the row, then a feed-forward for each token; both add to what they are given."""

        def __init__(self) -> None:
            super().__init__()
            width, dropout = parameters.width, parameters.dropout
            self.before_attention = nn.LayerNorm(width)
            self.attention = nn.MultiheadAttention(width, parameters.heads, dropout=dropout, batch_first=True)
            self.before_forward = nn.LayerNorm(width)
            self.feed_forward = nn.Sequential(
                nn.Linear(width, parameters.hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(parameters.hidden, width)
            )
            self.dropout = nn.Dropout(dropout)

        def forward(self, tokens: Tensor, padding: Tensor) -> Tensor:
            normed = self.before_attention(tokens)
            seen, _ = self.attention(normed, normed, normed, key_padding_mask=padding, need_weights=False)
            tokens = tokens + self.dropout(seen)
            added: Tensor = self.dropout(self.feed_forward(self.before_forward(tokens)))
            return tokens + added

    class TextEncoder(nn.Module):
        """Words, places, layers, and a head for the row or for each token."""

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(ends.vocabulary, parameters.width)
            self.dropout = nn.Dropout(parameters.dropout)
            self.layers = nn.ModuleList(Layer() for _ in range(parameters.layers))
            self.norm = nn.LayerNorm(parameters.width)
            self.head = nn.Linear(parameters.width, ends.outputs)
            nn.init.normal_(self.words.weight, std=parameters.width**-0.5)

        def forward(self, rows: Tensor) -> Tensor:
            known = (rows >= 0) & (rows < ends.vocabulary)
            rows = torch.where(known, rows, NUMBER_OF_UNKNOWN)
            # The first place is always looked at: attention over nothing at all would be NaN.
            padding = (rows == NUMBER_OF_PADDING) & (torch.arange(rows.shape[1]) > 0)
            scale = math.sqrt(parameters.width)
            tokens = self.dropout(self.words(rows) * scale + _places(rows.shape[1], width=parameters.width))
            for layer in self.layers:
                tokens = layer(tokens, padding)
            tokens = self.norm(tokens)
            if not ends.per_token:
                words = (~padding).unsqueeze(-1).to(tokens.dtype)
                tokens = (tokens * words).sum(dim=1) / words.sum(dim=1)
            logits: Tensor = self.head(tokens)
            return logits

    return Architecture(network=TextEncoder(), input_name="tokens", output_name="probabilities")


def _places(length: int, *, width: int) -> Tensor:
    """(length, width): sines and cosines that tell each place from every other; nothing to learn, no longest row."""
    import torch

    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(_LONGEST_WAVE) / width))
    angles = torch.arange(length).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
