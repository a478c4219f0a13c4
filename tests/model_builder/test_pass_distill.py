import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from model_builder.data.base import Dataset, Split, Task
from model_builder.decode import decode
from model_builder.errors import BadSpec
from model_builder.passes import distill, objective
from model_builder.passes.base import Context
from model_builder.progress import SilentReporter
from tests.model_builder.conftest import TRAIN, run_build, spec
from tests.model_builder.networks import context, dataset


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class KillAt(SilentReporter):
    def __init__(self, epoch: int) -> None:
        self._left = epoch

    def step(self, *, done: int, total: int, **figures: float) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed


class Knowing(nn.Module):
    """Knows the rule of the made-up data, or its opposite."""

    def __init__(self, *, sign: float = 1.0) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(sign))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.stack([-5 * self.sign * rows[:, 0], 5 * self.sign * rows[:, 0]], dim=1)


def teacher(outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, outputs)).eval()


def parameters(**raw: Any) -> distill.Parameters:
    defaults = {"student": "Mlp", "hidden": 4, "epochs": 4, "batchSize": 16, "learningRate": 0.02}
    return decode(distill.Parameters, {**defaults, **raw}, where="distill")


def distilled(
    folder: Path, network: nn.Module, *, data: Dataset | None = None, kill: int = 0, **raw: Any
) -> tuple[nn.Module, Context]:
    made = context(folder, data or dataset(), reporter=KillAt(kill))
    torch.manual_seed(1)
    return distill.apply(network=network, parameters=parameters(**raw), context=made), made


def few_labels(*, flipped: int = 0) -> Dataset:
    """Twelve labels, of which some are wrong, and many rows without."""
    data = dataset(rows=12, unlabelled=300)
    data.train.labels[:flipped] = 1 - data.train.labels[:flipped]
    return data


@pytest.mark.deep
def test_rows_without_labels_help_and_the_student_alone_got_as_many_steps(tmp_path: Path) -> None:
    _, made = distilled(tmp_path, Knowing(), data=few_labels(flipped=3))
    record = made.record
    assert record["kept"] == "distilled"
    assert record["errors"]["teacher"] == 0
    assert record["errors"]["distilled"] < 0.1 < record["errors"]["alone"]
    assert len(record["training"]["distilled"]["loss"]) == 4
    assert len(record["training"]["alone"]["loss"]) == 4 * (12 + 300) / 12


@pytest.mark.deep
def test_a_teacher_that_misleads_is_not_kept(tmp_path: Path) -> None:
    student, made = distilled(tmp_path, Knowing(sign=-1.0), alpha=1, epochs=10)
    assert made.record["kept"] == "alone"
    error, _ = objective.error_and_loss(student, data=made.data)
    assert error == made.record["errors"]["alone"] < made.record["errors"]["distilled"]
    assert any("it was worse: the student alone is kept" in note for note in made.notes)


@pytest.mark.deep
def test_without_weight_a_teacher_changes_nothing(tmp_path: Path) -> None:
    _, made = distilled(tmp_path, Knowing(sign=-1.0), alpha=0)
    assert made.record["training"]["distilled"] == made.record["training"]["alone"]
    assert made.record["kept"] == "distilled"  # as good is good enough


@pytest.mark.deep
def test_a_regression_is_distilled(tmp_path: Path) -> None:
    data = dataset(task=Task.REGRESSION, unlabelled=100)
    truth = nn.Linear(6, 1)
    with torch.no_grad():
        truth.weight.copy_(torch.tensor([[3.0, 0, 0, 0, 0, 0]]))
        truth.bias.zero_()
    _, made = distilled(tmp_path, truth, data=data, epochs=20)
    assert made.record["errors"]["distilled"] < 1 < float(data.validation.labels.var()) / 4


def test_the_distance_is_the_divergence_of_softened_answers() -> None:
    own, other = torch.tensor([[0.0, 0.0], [9.0, 9.5]]), torch.tensor([[2 * math.log(3), 0.0], [0.0, 100.0]])
    found = distill._distance(
        own, other, counted=torch.tensor([True, False]), task=Task.CLASSIFICATION, temperature=2.0
    )
    wanted = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert float(found) == pytest.approx(4 * wanted, rel=1e-5)


@pytest.mark.parametrize("student", ["Narrow", "Mlp"])
def test_the_record_and_the_weights_give_the_student_back(student: str, tmp_path: Path) -> None:
    network = teacher()
    before = copy.deepcopy(network.state_dict())
    small, made = distilled(tmp_path, network, student=student, width=0.5, epochs=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    restored = distill.restore(network=network, state=small.state_dict(), record=made.record)
    rows = torch.randn(4, 6)
    assert torch.equal(restored(rows), small(rows))
    assert made.record["parametersAfter"] == sum(p.numel() for p in small.parameters())


def test_a_narrow_student_starts_fresh_with_its_share_of_the_channels(tmp_path: Path) -> None:
    network = teacher()
    with torch.no_grad():
        network[0].weight.fill_(100)
    small, _ = distilled(tmp_path, network, student="Narrow", width=0.25, epochs=1)
    assert [tuple(small[i].weight.shape) for i in (0, 1, 3)] == [(4, 6), (4,), (2, 4)]
    assert float(small[0].weight.detach().abs().max()) < 2


def test_a_built_in_architecture_can_be_the_student(tmp_path: Path) -> None:
    data = dataset(shape=(8, 8), rows=32)
    data = dataclasses.replace(data, classes=tuple("0123456789"))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    small, made = distilled(tmp_path, flat, data=data, student="digits-cnn", epochs=1)
    assert type(small).__name__ == "DigitsCnn"
    assert any("no fewer than its teacher" in note for note in made.notes)
    restored = distill.restore(network=flat, state=small.state_dict(), record=made.record)
    rows = torch.from_numpy(data.test.rows)
    assert torch.equal(restored(rows), small(rows))


@pytest.mark.deep
@pytest.mark.parametrize("kill", [1, 4, 6])
def test_an_interrupted_distillation_ends_where_an_undisturbed_one_does(kill: int, tmp_path: Path) -> None:
    undisturbed, first = distilled(tmp_path / "undisturbed", teacher())
    with pytest.raises(Killed):
        distilled(tmp_path / "killed", teacher(), kill=kill)
    resumed, second = distilled(tmp_path / "killed", teacher())
    assert second.record == first.record
    assert all(torch.equal(tensor, undisturbed.state_dict()[name]) for name, tensor in resumed.state_dict().items())


def tokens() -> Dataset:
    data = dataset()
    rows = numpy.ones((8, 6), dtype="int64")
    return dataclasses.replace(data, train=Split(rows=rows, labels=data.train.labels[:8]))


@pytest.mark.parametrize(
    ("raw", "data", "sentence"),
    [
        ({"student": "digits-cn"}, dataset(), "did you mean 'digits-cnn'"),
        ({"student": "digits-cnn"}, dataset(), "can't read the rows of 'made-up'"),
        ({"student": "digits-cnn"}, dataset(shape=(8, 8)), "its teacher in"),
        ({"student": "Mlp"}, tokens(), "not of tokens"),
        ({"student": "Narrow"}, dataset(), "no chain of layers"),
    ],
)
def test_what_can_not_be_a_student_is_told(raw: dict[str, Any], data: Dataset, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match=sentence):
        distilled(tmp_path, Knowing(), data=data, **raw)


@pytest.mark.deep
def test_a_distilled_build_is_smaller_and_almost_as_good(tmp_path: Path) -> None:
    step = {"pass": "distill", "parameters": {"width": 0.5, "epochs": 6}}
    result = run_build(spec(TRAIN, step, gates=[]), out=tmp_path / "out")
    metrics = {name: metric["value"] for name, metric in result["metrics"].items()}
    assert metrics["sizeBytes"] < 0.35 * metrics["sizeBytes.source"]
    assert metrics["accuracy"] > metrics["accuracy.source"] - 0.02
