"""Fine-tuning over sites that share updates of the network, and keep their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_builder.passes.base import Context, Pass, Stage
from model_builder.passes.federated.parameters import Parameters, check

if TYPE_CHECKING:
    from torch import nn


def apply(*, network: nn.Module, parameters: Parameters, context: Context) -> nn.Module:
    """Train in place, over sites that are made of the training rows.

    Raises:
        BadSpec: the data can't be parted like this, or a library is missing.
        GateFailed: the training diverged.
        OutOfMemory: not even one row at once fits.
    """
    from model_builder.passes.federated.rounds import Server
    from model_builder.passes.federated.simulation import Direct, sites_of

    check(parameters, data=context.data)
    transport = Direct(sites_of(network, parameters=parameters, context=context))
    Server(network, transport=transport, parameters=parameters, context=context).run()
    return network


PASS = Pass(
    name="federated",
    stage=Stage.NETWORK,
    summary="trains a network further over sites that share masked or noisy updates, not rows",
    parameters=Parameters,
    apply=apply,
)
