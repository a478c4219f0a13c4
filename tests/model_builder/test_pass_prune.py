import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model_builder.architectures import REGISTRY
from model_builder.decode import decode
from model_builder.errors import BadSpec
from model_builder.passes import chains, prune
from model_builder.passes.base import Context
from tests.model_builder.conftest import TRAIN, run_build, spec
from tests.model_builder.networks import context, dataset

IMAGES = (3, 8, 8)


def conv_net() -> nn.Module:
    """Batch norm, pooling and a flattening between layers; running figures that are not those of a fresh network."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12 * 16, 40),
        nn.GELU(),
        nn.Linear(40, 2),
    )
    network.train()
    network(torch.randn(32, *IMAGES))
    return network.eval()


def parameters(**raw: Any) -> prune.Parameters:
    return decode(prune.Parameters, {"epochs": 0, **raw}, where="prune")


def pruned(
    folder: Path, network: nn.Module, *, shape: tuple[int, ...] = IMAGES, **raw: Any
) -> tuple[nn.Module, Context]:
    given = context(folder, dataset(shape=shape))
    return prune.apply(network=copy.deepcopy(network), parameters=parameters(**raw), context=given), given


def links(network: nn.Module, *shape: int) -> list[tuple[str, str, int]]:
    found = chains.links(network.eval(), example=torch.randn(2, *shape))
    return [(link.producer, link.consumer, link.spread) for link in found]


def zeros(network: nn.Module) -> int:
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return sum(int((layer.weight == 0).sum()) for layer in layers)


@pytest.mark.parametrize("importance", ["Magnitude", "Gradient"])
def test_fewer_channels_answer_as_the_same_channels_set_to_zero(importance: str, tmp_path: Path) -> None:
    network, rows = conv_net(), torch.randn(5, *IMAGES)
    small, given = pruned(tmp_path, network, amount=0.5, importance=importance)
    assert [tuple(small[i].weight.shape[:2]) for i in (0, 1, 3, 6, 8)] == [(4, 3), (4,), (6, 4), (20, 96), (2, 20)]
    for link in chains.links(network, example=rows[:2]):
        before = network.get_submodule(link.producer).weight.detach()
        after = small.get_submodule(link.producer).weight.detach()
        inputs = after.shape[1]
        kept = [any(_same(row, other, inputs) for other in after) for row in before]
        assert sum(kept) == len(kept) // 2
        gone = ~torch.tensor(kept).repeat_interleave(link.spread)
        with torch.no_grad():
            network.get_submodule(link.consumer).weight[:, gone] = 0
    assert torch.allclose(network(rows), small(rows), atol=1e-5)
    assert given.record["parametersAfter"] < given.record["parametersBefore"] / 2


def _same(row: torch.Tensor, other: torch.Tensor, inputs: int) -> bool:
    """Whether a filter, some of whose inputs may be gone, is the other one: what is left of it is in the same order."""
    columns = iter(row.reshape(len(row), -1).tolist())
    return all(wanted in columns for wanted in other.reshape(inputs, -1).tolist())


def test_the_channels_that_stay_are_the_heavy_ones(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0], [9.0], [2.0], [8.0]]).expand(4, 6))
    small, _ = pruned(tmp_path, network, shape=(6,), amount=0.5)
    assert small[0].weight[:, 0].tolist() == [9, 8]


def test_by_gradient_what_no_answer_depends_on_goes_however_heavy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight[2] = 50.0
        network[2].weight[:, 2] = 0.0
    small, _ = pruned(tmp_path / "gradient", network, shape=(6,), amount=0.25, importance="Gradient")
    assert float(small[0].weight.detach().max()) < 50
    small, _ = pruned(tmp_path / "magnitude", network, shape=(6,), amount=0.25)
    assert float(small[0].weight.detach().max()) == 50


def test_channels_that_more_than_the_next_layer_depends_on_stay() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            hidden = torch.relu(self.a(rows))
            return self.c(hidden + torch.relu(self.b(hidden)))

    tied = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2))
    tied[1].weight = tied[0].weight
    assert links(Skip(), 6) == []
    assert links(tied, 6) == []
    assert links(nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 2)), 6) == []
    assert links(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Linear(8, 2)), *IMAGES) == []  # works along the width
    assert links(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 2, 1)), *IMAGES) == []


def test_the_built_in_networks_are_chains() -> None:
    chain = [("features.0", "features.2", 1), ("features.2", "head.1", 16), ("head.1", "head.3", 1)]
    assert links(REGISTRY["digits-cnn"]().network, 8, 8) == chain


@pytest.mark.deep
@pytest.mark.parametrize("importance", ["Magnitude", "Gradient"])
def test_the_given_share_of_all_weights_is_zero_and_stays_so_in_training(importance: str, tmp_path: Path) -> None:
    network = conv_net()
    total = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    small, given = pruned(tmp_path, network, structure="Weights", amount=0.9, importance=importance, epochs=2)
    assert zeros(small) == given.record["zeros"] == round(0.9 * total)
    assert len(given.record["training"]["loss"]) == 2
    assert any("neither faster nor smaller" in note for note in given.notes)


def test_weights_are_compared_over_all_layers(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight.uniform_(1, 2)
        network[2].weight.uniform_(-0.5, 0.5)
    small, given = pruned(tmp_path, network, shape=(6,), structure="Weights", amount=0.25)
    assert given.record["zeroShare"] == {"0": 0.0, "2": 1.0}
    assert bool((small[2].weight == 0).all())


def test_low_rank_of_a_matrix_of_that_rank_changes_no_answer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.randn(48, 5) @ torch.randn(5, 64))
    small, given = pruned(tmp_path, network, shape=(64,), structure="LowRank", amount=0.8)
    assert given.record["layers"] == {"0": {"rank": 5}}  # 0.2 * 64 * 48 / (64 + 48), and the logits are left alone
    assert given.record["energy"] == {"0": 1.0}
    rows = torch.randn(7, 64)
    assert torch.allclose(small(rows), network(rows), atol=1e-3)


@pytest.mark.parametrize("structure", ["Weights", "Channels", "LowRank"])
def test_the_record_and_the_weights_give_the_network_back(structure: str, tmp_path: Path) -> None:
    network = conv_net()
    small, given = pruned(tmp_path, network, structure=structure, amount=0.6)
    restored = prune.restore(network=copy.deepcopy(network), state=small.state_dict(), record=given.record)
    rows = torch.randn(4, *IMAGES)
    assert torch.equal(restored(rows), small(rows))
    assert [str(m) for m in restored.modules()] == [str(m) for m in small.modules()]


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(rows) if rows.sum() > 0 else -self.layer(rows)


@pytest.mark.parametrize(
    ("network", "raw", "sentence"),
    [
        (nn.Linear(6, 2), {"structure": "Channels"}, "network has none: use Weights or LowRank"),
        (Branching(), {"structure": "Channels"}, "can't be traced"),
        (nn.Linear(6, 2), {"structure": "LowRank"}, "at least 32 inputs and outputs"),
        (nn.Flatten(), {"structure": "Weights"}, "leave prune out"),
        (nn.Linear(6, 2), {"structure": "LowRank", "importance": "Gradient"}, "leave importance out"),
    ],
)
def test_what_can_not_be_pruned_is_told(network: nn.Module, raw: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match=sentence):
        pruned(tmp_path, network, shape=(6,), **raw)


@pytest.mark.deep
def test_a_pruned_build_is_smaller_and_its_cached_network_is_restored(tmp_path: Path) -> None:
    step = {"pass": "prune", "parameters": {"amount": 0.5, "epochs": 1}}
    quantize = {"pass": "quantize", "parameters": {"calibrationRows": 64}}
    first = run_build(spec(TRAIN, step, gates=[]), out=tmp_path / "first", cache=tmp_path / "cache")
    again = run_build(spec(TRAIN, step, gates=[]), out=tmp_path / "again")
    assert again["digest"] == first["digest"]
    assert first["metrics"]["sizeBytes"]["value"] < 0.35 * first["metrics"]["sizeBytes.source"]["value"]
    whole = tmp_path / "cache" / "v1"
    for graph in whole.rglob("model.onnx"):
        graph.unlink()  # what is exported again needs the network, which comes from the cache in its new shape
    more = run_build(spec(TRAIN, step, quantize, gates=[]), out=tmp_path / "more", cache=tmp_path / "cache")
    assert more["metrics"]["accuracy"]["value"] > 0.9
    steps = json.loads((tmp_path / "more" / "manifest.json").read_text())["steps"]
    assert {step["pass"]: step["cached"] for step in steps} == {
        "train": True,
        "prune": True,
        "export": False,
        "quantize": False,
    }
