from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model_builder.data.base import Dataset
from model_builder.errors import BadSpec
from model_builder.passes import distill, hints
from tests.model_builder.networks import dataset
from tests.model_builder.test_pass_distill import Killed, distilled


def rule(seed: int = 0) -> nn.Module:
    """A teacher whose hidden numbers say more about a row than its answers do."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)).eval()


def ruled(*, teacher: nn.Module) -> Dataset:
    """Labels are what the teacher says."""
    data = dataset()
    for split in (data.train, data.validation, data.test):
        with torch.no_grad():
            split.labels[:] = teacher(torch.from_numpy(split.rows)).argmax(dim=1).numpy()
    return data


def explained(student: nn.Module, *, teacher: nn.Module, layer: str, data: Dataset) -> float:
    """Share of the variance of the teacher's features that the best linear map finds in the student's."""
    rows = torch.from_numpy(data.test.rows)
    with torch.no_grad():
        own, wanted = (hints.run(network, layers=[layer], rows=rows)[1][0] for network in (student, teacher))
    known = torch.cat([own, torch.ones(len(own), 1)], dim=1)
    rest = wanted - known @ torch.linalg.lstsq(known, wanted).solution
    return 1 - float(rest.square().sum() / (wanted - wanted.mean(dim=0)).square().sum())


@pytest.mark.deep
def test_features_of_the_student_come_closer_to_those_of_the_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "_better", lambda distilled, **_: distilled)  # whatever it does to the errors
    raw: dict[str, Any] = {"student": "Narrow", "width": 0.5, "epochs": 8, "data": ruled(teacher=rule())}
    plain, without = distilled(tmp_path / "plain", rule(), **raw)
    hinted, made = distilled(tmp_path / "hinted", rule(), hiddenWeight=5, **raw)
    far, near = (explained(student, teacher=rule(), layer="0", data=made.data) for student in (plain, hinted))
    assert near > far + 0.05
    assert made.record["hidden"]["layers"] == [["0", "0"]]
    assert made.record["hidden"]["distance"] < 1  # that of a student that knows nothing
    assert "hidden" not in without.record
    restored = distill.restore(network=rule(), state=hinted.state_dict(), record=made.record)
    rows = torch.from_numpy(made.data.test.rows)
    assert torch.equal(restored(rows), hinted(rows))  # the projection is not part of the student


@pytest.mark.deep
@pytest.mark.parametrize("kill", [6, 8])
def test_an_interrupted_comparison_ends_where_an_undisturbed_one_does(kill: int, tmp_path: Path) -> None:
    raw = {"student": "Mlp", "hiddenWeight": 1, "hiddenLayers": ["1.2=1"]}
    undisturbed, first = distilled(tmp_path / "undisturbed", rule(), **raw)
    with pytest.raises(Killed):
        distilled(tmp_path / "killed", rule(), kill=kill, **raw)
    resumed, second = distilled(tmp_path / "killed", rule(), **raw)
    assert second.record == first.record
    assert all(torch.equal(tensor, undisturbed.state_dict()[name]) for name, tensor in resumed.state_dict().items())


def test_a_student_that_knows_nothing_is_at_a_distance_of_one() -> None:
    data = dataset()
    teacher = student = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 2)).eval()
    found = hints.pairs(["0"], student=student, teacher=teacher, shape={}, data=data)
    rows = torch.from_numpy(data.train.rows)
    network = hints.attached(student, compared=found)
    own, wanted, distance = hints.answers_and_distance(network, teacher=teacher, compared=found, rows=rows)
    assert float(distance.detach()) == pytest.approx(1, abs=1e-5)
    assert torch.equal(own, wanted)
    with torch.no_grad():
        network.get_submodule("projections.0").weight.copy_(torch.eye(8))
        network.get_submodule("projections.0").bias.zero_()
    _, _, distance = hints.answers_and_distance(network, teacher=teacher, compared=found, rows=rows)
    assert float(distance.detach()) == pytest.approx(0, abs=1e-9)


def test_images_are_compared_channel_by_channel() -> None:
    data = dataset(shape=(3, 4, 4))
    teacher = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    student = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU())
    (pair,) = hints.pairs(["1=0"], student=student, teacher=teacher, shape={}, data=data)
    assert pair.sizes == (2, 8)
    assert pair.centre.shape == (8,)
    with pytest.raises(BadSpec, match=r"form \(2, 2, 2\) and the teacher's \(4, 4, 8\): only the last"):
        hints.pairs(["1=0"], student=nn.Sequential(student, nn.MaxPool2d(2)), teacher=teacher, shape={}, data=data)


class Attending(nn.Module):
    """Its attention gives two things."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(6, 1), nn.Linear(6, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.head(self.attention(rows, rows, rows)[0])


@pytest.mark.parametrize(
    ("network", "raw", "sentence"),
    [
        (rule(), {"hiddenLayers": ["0"]}, "hiddenWeight is 0: set it"),
        (rule(), {"hiddenWeight": 1}, "needs distill.hiddenLayers for a student that is not Narrow"),
        (rule(), {"hiddenWeight": 1, "hiddenLayers": ["9=0"]}, "has '9', which is no layer; known: 0, 1"),
        (rule(), {"hiddenWeight": 1, "hiddenLayers": ["1.2=O"]}, "has 'O', which is no layer; known: 0, 1, 2"),
        (Attending(), {"hiddenWeight": 1, "hiddenLayers": ["1.2=attention"]}, "not called for one tensor"),
    ],
)
def test_layers_that_can_not_be_compared_are_told(
    network: nn.Module, raw: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSpec, match=sentence):
        distilled(tmp_path, network, **raw)
