"""Sites in one process, made of one data set."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from model_builder.passes.base import Context
from model_builder.passes.federated.messages import Answer, Joined, Order
from model_builder.passes.federated.parameters import Parameters
from model_builder.passes.federated.partition import partition
from model_builder.passes.federated.site import Site

if TYPE_CHECKING:
    from torch import nn


def sites_of(network: nn.Module, *, parameters: Parameters, context: Context) -> dict[str, Site]:
    """Name -> site, all with the network as it is now.

    Raises:
        BadSpec: the data can't be parted like this.
    """
    parts = partition(context.data, parameters=parameters, seed=context.seed)
    source = copy.deepcopy(network)
    return {
        part.name: Site(
            number=number,
            sites=len(parts),
            data=part.data,
            network=source,
            parameters=parameters,
            seed=context.seed,
            noise_seed=context.seed,
            folder=context.checkpoints / f"site-{number}",
            cache=context.cache,
        )
        for number, part in enumerate(parts)
    }


class Direct:
    """Calls the sites, one after another."""

    simulated = True

    def __init__(self, sites: dict[str, Site]) -> None:
        self._sites = sites

    @property
    def names(self) -> list[str]:
        """Of the sites."""
        return list(self._sites)

    def join(self) -> list[Joined]:
        """Every site makes its key."""
        return [site.join() for site in self._sites.values()]

    def ask(self, orders: list[Order]) -> list[Answer]:
        """Every site trains."""
        return [site.answer(order) for site, order in zip(self._sites.values(), orders, strict=True)]
