"""What a node of a Flower run does: it is one site, and is started anew for every message.

So all that it must remember is in the state that Flower keeps for it on its own machine: the network that all began
with, the terms of the training, and its private key. Its own head is on its disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_builder.data.base import Dataset
from model_builder.decode import decode
from model_builder.errors import BadSpec
from model_builder.passes.base import Cache
from model_builder.passes.federated.masks import Keys
from model_builder.passes.federated.messages import Joined
from model_builder.passes.federated.parameters import Parameters
from model_builder.passes.federated.records import arrays_of, of_answer, record, to_order, values_of
from model_builder.passes.federated.site import Site

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp
    from torch import nn


@dataclass(frozen=True)
class Own:
    """What a node brings: its rows, a network of the recipe's structure, and a folder that outlives the run."""

    data: Dataset
    network: nn.Module
    folder: Path
    cache: Cache


def client_app(load: Callable[[Context], Own]) -> ClientApp:
    """The app of a node."""
    from flwr.app import Message
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.query("join")
    def join(message: Message, context: Context) -> Message:
        terms = {**values_of(message.content), "private": Keys().private, "answered": 0}
        context.state = record(arrays=arrays_of(message.content), values=terms)
        _, joined = _site(load(context), context=context)
        name = str(context.node_config.get("name", f"node-{context.node_id}"))
        reply = record(arrays={}, values={"rows": joined.rows, "key": joined.key, "name": name})
        return Message(reply, reply_to=message)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        site, _ = _site(load(context), context=context)
        order = to_order(message.content)
        answer = site.answer(order)
        terms = {**values_of(context.state), "answered": order.round}
        context.state = record(arrays=arrays_of(context.state), values=terms)
        return Message(of_answer(answer), reply_to=message)

    return app


def _site(own: Own, *, context: Context) -> tuple[Site, Joined]:
    """The site as the last message left it, and how it joined.

    Raises:
        BadSpec: the node's network is not the one that the server sent.
    """
    import torch

    terms = values_of(context.state)
    state = {name: torch.from_numpy(array.copy()) for name, array in arrays_of(context.state).items()}
    try:
        own.network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise BadSpec(
            f"federated: the network of this node is not that of the recipe ({' '.join(str(error).split())[:300]}): "
            "its spec needs the same source and the same data.normalization"
        ) from error
    site = Site(
        number=terms["number"],
        sites=terms["sites"],
        data=own.data,
        network=own.network,
        parameters=decode(Parameters, json.loads(terms["parameters"]), where="federated"),
        seed=terms["seed"],
        noise_seed=None,
        folder=own.folder,
        cache=own.cache,
    )
    return site, site.join(private=terms["private"], answered=terms["answered"])
