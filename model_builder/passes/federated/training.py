"""The pass itself: who the sites are, and then the rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_builder.passes.base import Context
from model_builder.passes.federated.nodes import Nodes
from model_builder.passes.federated.parameters import Parameters, check

if TYPE_CHECKING:
    from torch import nn

    from model_builder.passes.federated.messages import Transport


def apply(*, network: nn.Module, parameters: Parameters, context: Context) -> nn.Module:
    """Train in place, over sites that are made of the training rows, or over the nodes of a Flower run.

    Raises:
        BadSpec: the data can't be parted like this, the build is not part of a run, or a library is missing.
        BadData: a node failed.
        GateFailed: the training diverged.
        OutOfMemory: not even one row at once fits.
    """
    from model_builder.passes.federated.rounds import Server
    from model_builder.passes.federated.simulation import Direct, sites_of

    check(parameters, data=context.data)
    transport: Transport
    if parameters.split == "Nodes":
        transport = Nodes(network, parameters=parameters, seed=context.seed)
    else:
        transport = Direct(sites_of(network, parameters=parameters, context=context))
    Server(network, transport=transport, parameters=parameters, context=context).run()
    return network
