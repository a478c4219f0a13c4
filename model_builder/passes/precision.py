"""Training in mixed precision: matrices multiply in BF16; weights, the steps on them and the loss stay in FP32.

BF16 has the exponents of FP32, so that small gradients do not vanish and need no scaling (Kalamkar et al., arXiv
1905.12322).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

    from model_builder.passes.objective import Objective

Precision = Literal["Fp32", "Bf16"]


def at(precision: Precision, *, objective: Objective) -> Objective:
    """The same loss of a network that computes in this precision.

    Which operators do is torch's own list (autocast). Validation stays in FP32, as that is what is exported.
    """
    if precision == "Fp32":
        return objective
    import torch
    from torch import nn

    class Mixed(nn.Module):
        """Computes in BF16 where that is safe, and answers in FP32."""

        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            with torch.autocast(rows.device.type, dtype=torch.bfloat16):
                answers: torch.Tensor = self.network(rows)
            return answers.float()

    def loss(network: nn.Module, rows: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        return objective.loss(Mixed(network), rows, chance)

    return dataclasses.replace(objective, loss=loss)
