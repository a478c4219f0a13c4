"""What a network needs to say about itself to be trained, exported and served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """A network from raw rows to logits, and the names under which it is served."""

    network: nn.Module
    input_name: str
    output_name: str
