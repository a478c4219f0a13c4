import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from model_builder.architectures import REGISTRY
from model_builder.data import Data, load
from model_builder.data.base import Dataset, Task
from model_builder.decode import decode
from model_builder.errors import BadData, BadSpec, GateFailed
from model_builder.passes import federated, objective
from model_builder.passes.base import Context
from model_builder.passes.federated import rounds, vectors
from model_builder.passes.federated.messages import Answer, Joined, Order
from model_builder.passes.federated.simulation import Direct, sites_of
from model_builder.progress import SilentReporter
from tests.model_builder.conftest import run_build, spec
from tests.model_builder.networks import context, dataset


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a build."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class KillAfter(SilentReporter):
    """After a round was saved."""

    def __init__(self, round_: int) -> None:
        self._round = round_

    def step(self, *, done: int, total: int, **figures: float) -> None:
        if done == self._round:
            raise Killed


class Overheard(Direct):
    """Keeps all that was said; ends the process before the answers to one round arrive."""

    def __init__(self, sites: Any, *, kill: int = -1) -> None:
        super().__init__(sites)
        self.joined: list[Joined] = []
        self.said: list[tuple[list[Order], list[Answer]]] = []
        self._kill = kill

    def join(self) -> list[Joined]:
        self.joined = super().join()
        return self.joined

    def ask(self, orders: list[Order]) -> list[Answer]:
        answers = super().ask(orders)
        if orders[0].round == self._kill:
            raise Killed
        self.said.append((orders, answers))
        return answers


def net(outputs: int = 2, *, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, outputs))


def parameters(**raw: Any) -> federated.Parameters:
    defaults = {"rounds": 3, "batchSize": 16, "learningRate": 0.01}
    return decode(federated.Parameters, {**defaults, **raw}, where="federated")


def shared(
    folder: Path, network: nn.Module, *, data: Dataset | None = None, reporter: SilentReporter | None = None, **raw: Any
) -> Context:
    made = context(folder, data or dataset(), reporter=reporter)
    federated.apply(network=network, parameters=parameters(**raw), context=made)
    return made


def overheard(folder: Path, network: nn.Module, *, data: Dataset, kill: int = -1, **raw: Any) -> Overheard:
    made = context(folder, data)
    transport = Overheard(sites_of(network, parameters=parameters(**raw), context=made), kill=kill)
    rounds.Server(network, transport=transport, parameters=parameters(**raw), context=made).run()
    return transport


def same(first: nn.Module, second: nn.Module) -> bool:
    others = second.state_dict()
    return all(torch.equal(tensor, others[name]) for name, tensor in first.state_dict().items())


@pytest.mark.deep
def test_four_sites_reach_what_central_training_reaches_on_digits(tmp_path: Path) -> None:
    from model_builder.passes import finetune

    data = load(Data(name="digits"), workspace=tmp_path)
    torch.manual_seed(0)
    central = REGISTRY["digits-cnn"]().network
    together = copy.deepcopy(central)
    raw = {"rounds": 3, "epochs": 2, "learningRate": 0.003, "batchSize": 32}
    made = shared(tmp_path / "together", together, data=data, **raw)
    assert len(made.record["sites"]) == 4
    given = {"epochs": 3, "learningRate": 0.003}
    finetune.apply(
        network=central,
        parameters=decode(finetune.Parameters, given, where="finetune"),
        context=context(tmp_path / "central", data),
    )
    error, best = (objective.error_and_loss(network, data=data)[0] for network in (together, central))
    assert error == made.record["validationError"]
    assert error <= best + 0.03


def test_no_row_leaves_its_site(tmp_path: Path) -> None:
    data = dataset()
    heard = overheard(tmp_path, net(), data=data)
    said = [*heard.joined, *(message for orders, answers in heard.said for message in (*orders, *answers))]
    assert len(said) == 4 + 3 * (4 + 4)
    size = sum(parameter.numel() for parameter in net().parameters())
    rows = {row.tobytes() for row in data.train.rows} | {row.astype("float64").tobytes() for row in data.train.rows}
    for message in said:
        for value in dataclasses.asdict(message).values():
            if isinstance(value, numpy.ndarray):
                assert value.shape == (size,)
                assert not any(row in value.tobytes() for row in rows)
            else:
                assert len(repr(value)) < 300


def test_masks_change_no_bit_of_the_result(tmp_path: Path) -> None:
    plain, masked = net(), net()
    shared(tmp_path / "plain", plain, rounds=2)
    shared(tmp_path / "masked", masked, rounds=2, aggregation="Masked")
    assert same(plain, masked)
    assert not same(plain, net())


class Still(nn.BatchNorm1d):
    """Takes no part in a training by its running means."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return super().forward(rows)


def test_running_means_stay_as_they_are(tmp_path: Path) -> None:
    network = net()
    network[1] = Still(16)
    shared(tmp_path, network, rounds=1)
    assert torch.equal(network[1].running_mean, torch.zeros(16))
    assert not network.training


def test_a_site_weighs_its_update_and_answers_a_round_once(tmp_path: Path) -> None:
    told = {}
    for share in (1.0, 0.5):
        made = context(tmp_path / str(share), dataset())
        site = sites_of(net(), parameters=parameters(), context=made)["site-0"]
        site.join()
        vector = torch.nn.utils.parameters_to_vector(net().parameters()).detach().numpy()
        order = Order(round=1, part="Body", vector=vector, share=share, keys={})
        told[share] = vectors.total([site.answer(order).values])
        with pytest.raises(BadSpec, match="site 0 was asked for round 1 again"):
            site.answer(order)
    assert numpy.abs(told[1.0]).max() > 1e-3
    assert numpy.allclose(told[1.0], 2 * told[0.5], atol=4 * vectors.STEP)


def test_the_average_of_the_heads_is_one_more_release(tmp_path: Path) -> None:
    made = shared(tmp_path, net(), noise=1.0, head="Personal", rounds=1)
    assert made.record["privacy"]["releases"] == 2


@pytest.mark.deep
@pytest.mark.parametrize("head", ["Shared", "Personal"])
@pytest.mark.parametrize("moment", ["between", "within"])
def test_an_interrupted_training_ends_where_an_undisturbed_one_does(head: str, moment: str, tmp_path: Path) -> None:
    undisturbed, resumed = net(dropout=0.3), net(dropout=0.3)
    raw = {"head": head, "aggregation": "Masked", "noise": 0.01}
    first = shared(tmp_path / "undisturbed", undisturbed, **raw)
    if moment == "between":
        with pytest.raises(Killed):
            shared(tmp_path / "killed", net(dropout=0.3), reporter=KillAfter(2), **raw)
    else:
        with pytest.raises(Killed):
            overheard(tmp_path / "killed", net(dropout=0.3), data=dataset(), kill=2, **raw)
    torch.manual_seed(99)  # another process has another state of chance
    second = shared(tmp_path / "killed", resumed, **raw)
    assert second.record == first.record
    assert same(resumed, undisturbed)
    done = 2 if moment == "between" else 1
    assert second.notes[0] == f"federated was interrupted, and went on after round {done}"


def test_a_site_that_lost_its_head_says_so(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        shared(tmp_path, net(), reporter=KillAfter(2), head="Personal")
    for checkpoint in (tmp_path / "checkpoints" / "site-1").rglob("*.pt"):
        checkpoint.unlink()
    with pytest.raises(BadData, match="site 1 has lost its head of round 2"):
        shared(tmp_path, net(), head="Personal")


def test_a_personal_head_stays_and_the_served_one_is_the_average(tmp_path: Path) -> None:
    network = net()
    heard = overheard(tmp_path, network, data=dataset(), head="Personal", rounds=2)
    body = sum(parameter.numel() for parameter in net()[:2].parameters())
    head = sum(parameter.numel() for parameter in net()[4].parameters())
    assert [len(answers[0].values) for _, answers in heard.said] == [body, body, head]
    orders, answers = heard.said[-1]
    before = torch.nn.utils.parameters_to_vector(net()[4].parameters())
    own = [
        before.detach() + torch.from_numpy(vectors.total([a.values])) / o.share
        for o, a in zip(orders, answers, strict=True)
    ]
    assert not torch.allclose(own[0], own[1], atol=1e-3)
    served = torch.nn.utils.parameters_to_vector(network[4].parameters())
    assert torch.allclose(served.double(), sum(own) / 4, atol=1e-6)


@pytest.mark.deep
def test_where_sites_disagree_heads_of_their_own_are_better(tmp_path: Path) -> None:
    data = dataset(rows=400)
    for split in (data.train, data.validation):
        names = numpy.array(["a", "b"])[numpy.arange(len(split.rows)) % 2]
        object.__setattr__(split, "groups", {"clinic": names})
        split.labels[names == "b"] = 1 - split.labels[names == "b"]
    raw = {"split": "Column", "column": "clinic", "rounds": 5, "epochs": 2}
    made = shared(tmp_path / "own", net(), data=data, head="Personal", **raw)
    together = shared(tmp_path / "shared", net(), data=data, **raw)
    assert made.record["rounds"][-1]["ownError"] < 0.2 < 0.4 < together.record["validationError"]
    assert "what is served has the average of them" in made.notes[0]


def test_with_noise_nothing_but_the_noisy_update_is_told(tmp_path: Path) -> None:
    data = dataset()
    heard = overheard(tmp_path / "a", net(), data=data, noise=1.0, clip=0.5, rounds=2)
    assert {joined.rows for joined in heard.joined} == {0}
    assert all(answer.told is None for _, answers in heard.said for answer in answers)
    assert all(order.share == 0.25 for orders, _ in heard.said for order in orders)
    made = shared(tmp_path / "b", net(), data=data, noise=1.0, clip=0.5, rounds=2)
    assert [set(site) for site in made.record["sites"]] == [{"name"}] * 4
    assert made.record["privacy"]["epsilon"] == pytest.approx(6.573, abs=0.001)
    assert made.record["privacy"]["releases"] == 2
    assert any("it protects nobody" in note for note in made.notes)


def test_an_update_moves_by_no_more_than_bound_and_noise(tmp_path: Path) -> None:
    network, before = net(), torch.nn.utils.parameters_to_vector(net().parameters())
    shared(tmp_path, network, noise=1e-6, clip=1e-3, rounds=1, learningRate=0.1)
    moved = torch.nn.utils.parameters_to_vector(network.parameters()).detach() - before.detach()
    assert 0 < float(moved.norm()) <= 1.001e-3


@pytest.mark.deep
def test_a_regression_learns_too(tmp_path: Path) -> None:
    network, data = net(1), dataset(task=Task.REGRESSION)
    before, _ = objective.error_and_loss(network.eval(), data=data)
    made = shared(tmp_path, network, data=data, rounds=10, epochs=2, learningRate=0.03)
    assert made.record["validationError"] < before / 4
    with pytest.raises(BadSpec, match="Dirichlet, which needs classes"):
        shared(tmp_path, network, data=data, split="Dirichlet")


def test_a_training_that_no_rate_saves_fails(tmp_path: Path) -> None:
    data = dataset()
    data.train.rows[5] = numpy.inf
    with pytest.raises(GateFailed, match=r"site \d in round 1 diverged"):
        shared(tmp_path, net(), data=data)


@pytest.mark.deep
def test_a_build_trains_over_sites_and_tells_how_it_went(tmp_path: Path) -> None:
    step = {"pass": "federated", "parameters": {"rounds": 2, "aggregation": "Masked", "learningRate": 0.003}}
    result = run_build(spec(step, gates=[]), out=tmp_path / "out")
    assert result["metrics"]["accuracy"]["value"] > 0.5
    steps = json.loads((tmp_path / "out" / "manifest.json").read_text())["steps"]
    record = next(entry["record"] for entry in steps if entry["pass"] == "federated")
    assert [len(record["rounds"]), len(record["sites"])] == [2, 4]
