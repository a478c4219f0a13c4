"""Fine-tuning over sites that share updates of the network, and keep their rows."""

from __future__ import annotations

from model_builder.passes.base import Pass, Stage
from model_builder.passes.federated.parameters import Parameters
from model_builder.passes.federated.training import apply

PASS = Pass(
    name="federated",
    stage=Stage.NETWORK,
    summary="trains a network further over sites that share masked or noisy updates, not rows",
    parameters=Parameters,
    apply=apply,
)
