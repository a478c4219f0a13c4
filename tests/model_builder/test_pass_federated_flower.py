"""Nodes of a Flower run, in one process: its messages go as bytes, but through none of its servers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from model_builder.data.base import Dataset
from model_builder.errors import BadData, BadSpec
from model_builder.passes.base import Context
from model_builder.passes.federated import nodes
from model_builder.passes.federated.simulation import sites_of
from tests.model_builder.networks import context, dataset
from tests.model_builder.test_pass_federated import net, parameters, same, shared

pytestmark = [pytest.mark.deep, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


class Wire:
    """Carries messages as bytes, to an app that is started anew for each, and may lose a node."""

    def __init__(self, folder: Path, *, data: Dataset, lost: int | None = None) -> None:
        from flwr.app import Context as State
        from flwr.app import RecordDict
        from flwr.supercore.task_identity import TaskIdentity

        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1
        around = context(folder, data)
        self._cache = around.cache
        made = sites_of(net(), parameters=parameters(), context=around)
        self._data = {100 + number: site._data for number, site in enumerate(made.values())}
        self._folder, self._lost = folder, lost
        self.bytes: list[bytes] = []
        self.states = {
            node: State(
                run_id=1, node_id=node, node_config={"name": f"clinic-{node}"}, state=RecordDict(), run_config={}
            )
            for node in self._data
        }

    def get_node_ids(self) -> Iterable[int]:
        return reversed(self._data)

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> Iterable[Any]:
        return [self._carried(message) for message in messages if message.metadata.dst_node_id != self._lost][::-1]

    def _carried(self, message: Any) -> Any:
        from flwr.app import Error, Message
        from flwr.common.serde import message_from_proto, message_to_proto

        from model_builder.passes.federated.node import Own, client_app

        node = message.metadata.dst_node_id
        message.metadata.__dict__["_message_id"] = f"m{len(self.bytes)}"
        own = Own(data=self._data[node], network=net(), folder=self._folder / f"node-{node}", cache=self._cache)
        received = message_from_proto(message_to_proto(message))
        try:
            reply = client_app(lambda _: own)(received, self.states[node])
        except BadSpec as error:  # as Flower does with whatever is raised
            reply = Message(Error(code=1, reason=str(error)), reply_to=received)
        proto = message_to_proto(reply)
        self.bytes.append(proto.SerializeToString())
        return message_from_proto(type(proto).FromString(self.bytes[-1]))


def over_flower(folder: Path, network: torch.nn.Module, *, wire: Wire, data: Dataset, **raw: Any) -> Context:
    with nodes.offered(wire):
        return shared(folder, network, data=data, split="Nodes", **raw)


@pytest.mark.parametrize("head", ["Shared", "Personal"])
def test_nodes_end_where_the_simulation_does(head: str, tmp_path: Path) -> None:
    simulated, carried, data = net(), net(), dataset()
    raw = {"aggregation": "Masked", "head": head, "rounds": 2}
    first = shared(tmp_path / "simulated", simulated, data=data, **raw)
    wire = Wire(tmp_path / "wire", data=data)
    second = over_flower(tmp_path / "carried", carried, wire=wire, data=data, **raw)
    assert same(simulated, carried)
    assert second.record["rounds"] == first.record["rounds"]
    assert [site["name"] for site in second.record["sites"]] == [f"clinic-{node}" for node in range(100, 104)]
    assert len(wire.bytes) == 4 * (3 if head == "Shared" else 4)


def test_no_row_is_in_the_bytes_that_leave_a_node(tmp_path: Path) -> None:
    data = dataset()
    wire = Wire(tmp_path / "wire", data=data)
    over_flower(tmp_path, net(), wire=wire, data=data, rounds=1)
    sent = b"".join(wire.bytes)
    assert not any(row.tobytes() in sent for row in data.train.rows)
    assert max(map(len, wire.bytes)) < 8 * sum(p.numel() for p in net().parameters()) + 2000


def test_nodes_take_their_noise_from_the_system(tmp_path: Path) -> None:
    first, second, data = net(), net(), dataset()
    for name, network in (("first", first), ("second", second)):
        wire = Wire(tmp_path / f"wire-{name}", data=data)
        made = over_flower(tmp_path / name, network, wire=wire, data=data, rounds=1, noise=1.0, clip=0.1)
        assert not any("simulation" in note for note in made.notes)
    assert not same(first, second)


def test_a_node_that_is_gone_ends_the_build(tmp_path: Path) -> None:
    data = dataset()
    with pytest.raises(BadData, match=r"node 102 did not answer \(it is gone\)"):
        over_flower(tmp_path, net(), wire=Wire(tmp_path / "wire", data=data, lost=102), data=data)


def test_a_node_with_another_network_says_so(tmp_path: Path) -> None:
    data = dataset()
    with pytest.raises(
        BadData, match=r"node 100 did not answer \(.*the network of this node is not that of the recipe"
    ):
        over_flower(tmp_path, torch.nn.Linear(6, 2), wire=Wire(tmp_path / "wire", data=data), data=data)


def test_too_few_nodes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "_PATIENCE", -1.0)
    data = dataset()
    with pytest.raises(BadData, match="sites is 5, and 4 nodes are connected"):
        over_flower(tmp_path, net(), wire=Wire(tmp_path / "wire", data=data), data=data, sites=5)


def test_one_mask_is_not_used_twice(tmp_path: Path) -> None:
    data = dataset()
    wire = Wire(tmp_path / "wire", data=data)
    raw = {"split": "Nodes", "aggregation": "Masked", "rounds": 1}
    with nodes.offered(wire):
        transport = nodes.Nodes(net(), parameters=parameters(**raw), seed=0)
    from model_builder.passes.federated.rounds import Server

    server = Server(
        net(), transport=transport, parameters=parameters(**raw), context=context(tmp_path / "server", data)
    )
    server.run()
    with pytest.raises(BadData, match="asked for round 1 again"):
        server._round(1)


def test_without_a_run_nodes_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        BadSpec, match="not part of a Flower run: install the extra 'federated' and start it with flwr run"
    ):
        shared(tmp_path, net(), split="Nodes")
