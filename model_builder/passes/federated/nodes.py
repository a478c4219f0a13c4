"""Sites that are nodes of a Flower run (flower.ai), reached through its messages; the build is the run's ServerApp.

Nothing here imports Flower before there is such a run. What a node does with a message is in `node`.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from model_builder.decode import encode as plain
from model_builder.errors import BadData, BadSpec
from model_builder.passes.federated.messages import Answer, Joined, Order
from model_builder.passes.federated.parameters import Parameters
from model_builder.passes.federated.records import of_order, record, to_answer, values_of

if TYPE_CHECKING:
    from flwr.app import Message, RecordDict
    from torch import nn

#: Seconds to wait for enough nodes, and between two looks.
_PATIENCE, _PAUSE = 600.0, 1.0


class Grid(Protocol):
    """What is used of `flwr.serverapp.Grid`."""

    def get_node_ids(self) -> Iterable[int]:
        """Of the nodes that are connected."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send, and wait for all replies; a node that is gone has an error for its reply."""


_GRID: ContextVar[Grid | None] = ContextVar("grid", default=None)


@contextlib.contextmanager
def offered(grid: Grid) -> Iterator[None]:
    """Builds inside are part of a Flower run: `split: Nodes` finds its nodes."""
    token = _GRID.set(grid)
    try:
        yield
    finally:
        _GRID.reset(token)


class Nodes:
    """The nodes of the run that the build is part of, in the order of their identifiers."""

    simulated = False

    def __init__(self, network: nn.Module, *, parameters: Parameters, seed: int) -> None:
        """All sites begin with the network as it is now.

        Raises:
            BadSpec: the build is not part of a run.
        """
        grid = _GRID.get()
        if grid is None:
            raise BadSpec(
                "federated.split is Nodes, and the build is not part of a Flower run: install the extra 'federated' "
                "and start it with flwr run, or take another split"
            )
        self._grid, self._parameters, self._seed = grid, parameters, seed
        self._source = {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}
        self._nodes: list[int] = []
        self._names: list[str] = []

    @property
    def names(self) -> list[str]:
        """As the nodes call themselves."""
        return self._names

    def join(self) -> list[Joined]:
        """Wait for the nodes, and send them the network.

        Raises:
            BadData: too few nodes came, or one failed.
        """
        self._nodes = self._wait()
        terms = {"parameters": json.dumps(plain(self._parameters)), "seed": self._seed, "sites": len(self._nodes)}
        contents = [
            record(arrays=self._source, values={**terms, "number": number}) for number in range(len(self._nodes))
        ]
        replies = [values_of(reply) for reply in self._exchange(contents, kind="query.join")]
        self._names = [str(reply["name"]) for reply in replies]
        return [Joined(rows=reply["rows"], key=reply["key"]) for reply in replies]

    def ask(self, orders: list[Order]) -> list[Answer]:
        """One order to every node.

        Raises:
            BadData: a node failed, or is gone: there is no recovery within a round.
        """
        contents = [of_order(order) for order in orders]
        return [to_answer(reply) for reply in self._exchange(contents, kind="train")]

    def _wait(self) -> list[int]:
        wanted, end = self._parameters.sites, time.monotonic() + _PATIENCE
        while len(found := sorted(self._grid.get_node_ids())) != wanted:
            if time.monotonic() > end:
                raise BadData(
                    f"federated.sites is {wanted}, and {len(found)} nodes are connected after {_PATIENCE:.0f} seconds: "
                    "connect the others, or change sites"
                )
            time.sleep(_PAUSE)
        return found

    def _exchange(self, contents: list[RecordDict], *, kind: str) -> list[RecordDict]:
        """The replies in the order of the nodes."""
        from flwr.app import Message

        messages = [
            Message(content, dst_node_id=node, message_type=kind)
            for node, content in zip(self._nodes, contents, strict=True)
        ]
        replies: Mapping[int, Any] = {
            reply.metadata.src_node_id: reply for reply in self._grid.send_and_receive(messages)
        }
        for node in self._nodes:
            reply = replies.get(node)
            if reply is None or reply.has_error():
                reason = "it is gone" if reply is None else reply.error.reason
                raise BadData(
                    f"federated: node {node} did not answer ({reason}): see its log, then start the run again"
                )
        return [replies[node].content for node in self._nodes]
