import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, strategies
from torch import nn

from model_builder.data.base import IGNORED_LABEL, Dataset, Task
from model_builder.decode import decode
from model_builder.errors import BadSpec, GateFailed, OutOfMemory
from model_builder.passes import finetune, objective
from model_builder.passes.settings import Schedule, rate_factor
from model_builder.progress import SilentReporter
from tests.model_builder.conftest import TRAIN, run_build, spec
from tests.model_builder.networks import context, dataset


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class KillAfter(SilentReporter):
    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def step(self, *, done: int, total: int, **figures: float) -> None:
        if done == self._epochs:
            raise Killed


class Scarce(nn.Module):
    """Has memory for a few rows, and counts what it is given."""

    def __init__(self, network: nn.Module, *, fits: int) -> None:
        super().__init__()
        self.network, self.fits, self.largest = network, fits, 0

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if self.training and len(rows) > self.fits:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        self.largest = max(self.largest, len(rows) if self.training else 0)
        return self.network(rows)


def net(outputs: int = 2, *, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 8), nn.Linear(8, outputs)
    )


def parameters(**raw: Any) -> finetune.Parameters:
    defaults = {"epochs": 3, "batchSize": 16, "learningRate": 0.01}
    return decode(finetune.Parameters, {**defaults, **raw}, where="finetune")


def tuned(folder: Path, network: nn.Module, *, data: Dataset | None = None, kill: int = -1, **raw: Any) -> Any:
    made = context(folder, data or dataset(), reporter=KillAfter(kill))
    torch.manual_seed(1)
    finetune.apply(network=network, parameters=parameters(**raw), context=made)
    return made


@pytest.mark.deep
@pytest.mark.parametrize(("optimizer", "rate"), [("AdamW", 0.01), ("Sgd", 0.1)])
def test_it_learns(optimizer: str, rate: float, tmp_path: Path) -> None:
    network = net()
    made = tuned(tmp_path, network, optimizer=optimizer, learningRate=rate, epochs=8)
    error, _ = objective.error_and_loss(network, data=made.data)
    assert error < 0.15
    assert not network.training


@pytest.mark.deep
def test_it_learns_a_regression(tmp_path: Path) -> None:
    network, data = net(1), dataset(task=Task.REGRESSION)
    before, _ = objective.error_and_loss(network.eval(), data=data)
    tuned(tmp_path, network, data=data, epochs=15, regressionLoss="Huber")
    after, _ = objective.error_and_loss(network, data=data)
    assert after < before / 4


@pytest.mark.parametrize(
    ("policy", "learn"), [("AllButLast", {"5"}), ("FirstHalf", {"4", "5"}), ("Nothing", set("0145"))]
)
def test_frozen_layers_keep_weights_and_running_means(policy: str, learn: set[str], tmp_path: Path) -> None:
    network = net()
    before = copy.deepcopy(network.state_dict())
    tuned(tmp_path, network, freeze=policy, epochs=1)
    changed = {name[0] for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == learn
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_frozen_layers_learn_once_they_are_thawed(tmp_path: Path) -> None:
    network = net()
    before = network[0].weight.detach().clone()
    tuned(tmp_path / "frozen", network, freeze="AllButLast", thawAfter=2, epochs=2)
    assert torch.equal(network[0].weight, before)
    tuned(tmp_path / "thawed", network, freeze="AllButLast", thawAfter=2, epochs=3, patience=0)
    assert not torch.equal(network[0].weight, before)


@pytest.mark.deep
def test_it_stops_early_with_the_best_weights(tmp_path: Path) -> None:
    network, data = net(), dataset()
    data.validation.labels[:] = 1 - data.validation.labels  # what is learned makes the validation loss only worse
    made = tuned(tmp_path, network, data=data, epochs=50, patience=2)
    told = made.record["training"]
    assert len(told["validationLoss"]) == told["epoch"] + 2 < 50
    _, loss = objective.error_and_loss(network, data=data)
    assert loss == pytest.approx(min(told["validationLoss"]), abs=1e-5)
    assert any("lowest validation loss" in note for note in made.notes)


@pytest.mark.deep
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_an_interrupted_training_ends_where_an_undisturbed_one_does(epochs: int, tmp_path: Path) -> None:
    undisturbed, resumed = net(dropout=0.3), net(dropout=0.3)
    first = tuned(tmp_path / "undisturbed", undisturbed, patience=0)
    with pytest.raises(Killed):
        tuned(tmp_path / "killed", net(dropout=0.3), kill=epochs, patience=0)
    second = tuned(tmp_path / "killed", resumed, patience=0)
    assert second.record == first.record
    assert all(torch.equal(tensor, undisturbed.state_dict()[name]) for name, tensor in resumed.state_dict().items())
    told = [f"finetune was interrupted, and went on after epoch {epochs}"]
    assert second.notes == (told if epochs < 3 else [])


@pytest.mark.deep
def test_too_high_a_rate_is_lowered_from_the_last_checkpoint(tmp_path: Path) -> None:
    # Plain sums of rows with a curvature of 2 * 9: steps above 1 / 9 run away, half of 0.2 does not.
    network = nn.Linear(6, 1)
    data = dataset(task=Task.REGRESSION)
    data.train.rows[:] = 3 * numpy.sign(data.train.rows)
    raw = {"optimizer": "Sgd", "schedule": "Constant", "warmup": 0, "clip": 0, "patience": 0, "epochs": 12}
    made = tuned(tmp_path, network, data=data, learningRate=0.2, **raw)
    told = made.record["training"]
    assert told["learningRate"] < 0.2
    assert math.log2(0.2 / told["learningRate"]).is_integer()
    assert len(told["loss"]) == 12
    assert all(math.isfinite(loss) for loss in told["loss"])
    assert made.notes[0].startswith("finetune diverged in epoch 1")
    assert "with a learning rate of 0.2: it went back to epoch 0, and on with 0.1" in made.notes[0]


@pytest.mark.deep
def test_a_training_that_no_rate_saves_fails(tmp_path: Path) -> None:
    data = dataset()
    data.train.rows[5] = numpy.inf
    with pytest.raises(GateFailed, match=r"finetune diverged in epoch 1 .*learning rate of 0.0003125: lower"):
        tuned(tmp_path, net(), data=data)


def test_too_little_memory_halves_the_batch_and_not_the_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    scarce = Scarce(copy.deepcopy(plain), fits=5)
    made = tuned(tmp_path / "scarce", scarce)
    assert scarce.largest == 4 == made.record["training"]["rowsAtOnce"]
    assert [note.split(":")[0] for note in made.notes] == [
        "finetune ran out of memory with 16 rows at once",
        "finetune ran out of memory with 8 rows at once",
    ]
    tuned(tmp_path / "plain", plain)
    assert torch.allclose(scarce.network[0].weight, plain[0].weight, atol=1e-4)
    with pytest.raises(OutOfMemory, match="with 1 rows at once: raise the memory limit"):
        tuned(tmp_path / "none", Scarce(net(), fits=0))


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    many = copy.deepcopy(one)
    tuned(tmp_path / "one", one, batchSize=32)
    tuned(tmp_path / "many", many, batchSize=8, accumulation=4)
    assert torch.allclose(one[0].weight, many[0].weight, atol=1e-4)


def test_no_step_is_left_with_a_single_row(tmp_path: Path) -> None:
    network = net()  # has a batch norm, which takes no single row
    tuned(tmp_path, network, data=dataset(rows=33), epochs=1)
    assert bool(network[0].weight.isfinite().all())


def test_clipping_bounds_a_step(tmp_path: Path) -> None:
    network = nn.Linear(6, 2)
    before = network.weight.detach().clone()
    raw = {"optimizer": "Sgd", "weightDecay": 0, "clip": 1e-3, "epochs": 1, "batchSize": 96, "schedule": "Constant"}
    tuned(tmp_path, network, learningRate=1, warmup=0, patience=0, **raw)
    assert 0 < float((network.weight - before).detach().norm()) < 2e-3  # Nesterov's first step is 1.9 gradients


@given(
    done=strategies.floats(0.001, 0.999),
    warmup=strategies.sampled_from([0.0, 0.1, 0.5]),
    schedule=strategies.sampled_from(["Constant", "Linear", "Cosine"]),
)
def test_the_rate_rises_then_falls_and_is_never_zero(done: float, warmup: float, schedule: Schedule) -> None:
    factor = rate_factor(done, warmup=warmup, schedule=schedule)
    later = rate_factor(min(0.9995, done * 1.001), warmup=warmup, schedule=schedule)
    assert 0 < factor <= 1
    assert later >= factor if done * 1.001 < warmup else True
    assert later <= factor + 1e-12 if done >= warmup else True
    assert rate_factor(warmup, warmup=warmup, schedule=schedule) == 1


def test_a_token_that_nobody_labelled_counts_for_nothing() -> None:
    outputs = torch.randn(2, 3, 4)
    labels = torch.tensor([[1, 2, IGNORED_LABEL], [IGNORED_LABEL, 0, 3]])
    changed = outputs.clone()
    changed[0, 2] += 100 * torch.randn(4)
    task = Task.TOKEN_CLASSIFICATION
    loss = objective.loss_sum(outputs, labels, task=task)
    assert torch.equal(loss, objective.loss_sum(changed, labels, task=task))
    assert objective.judged(labels).sum() == 4
    assert objective.constant_loss(labels, task=task) == pytest.approx(math.log(4))


@pytest.mark.deep
def test_augmentation_reaches_the_training(tmp_path: Path) -> None:
    from model_builder.data.augmentation import Augmentation

    plain, noisy = net(), net()
    tuned(tmp_path / "plain", plain)
    tuned(tmp_path / "noisy", noisy, data=dataclasses.replace(dataset(), augmentation=Augmentation(noise=0.5)))
    assert not torch.equal(plain[0].weight, noisy[0].weight)


def test_thawing_without_frost_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match="nothing is frozen"):
        tuned(tmp_path, net(), thawAfter=1)


@pytest.mark.deep
def test_a_build_fine_tunes_and_tells_how_it_went(tmp_path: Path) -> None:
    step = {"pass": "finetune", "parameters": {"epochs": 2, "freeze": "FirstHalf"}}
    result = run_build(spec(TRAIN, step, gates=[]), out=tmp_path / "out")
    assert result["metrics"]["accuracy"]["value"] > 0.95
    steps = json.loads((tmp_path / "out" / "manifest.json").read_text())["steps"]
    record = next(entry["record"] for entry in steps if entry["pass"] == "finetune")
    assert len(record["training"]["validationLoss"]) == 2
    assert record["frozenLayers"] == 2
