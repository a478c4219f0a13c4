"""Learning from what lies within a teacher: a student's features, projected, are to become the teacher's.

The projection of each layer learns with the student and is thrown away with the training (Romero et al. 2015, FitNets,
arXiv 1412.6550; there a stage of its own, here one more term of the loss).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_builder.data.base import Dataset
from model_builder.decode import suggest
from model_builder.errors import BadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

#: Rows that shapes, spreads and distances for the record are read off.
ROWS = 256


@dataclass(frozen=True)
class Pair:
    """A layer of the student and the one of the teacher that it is to follow.

    Attributes:
        sizes: numbers per place of the student's features, and of the teacher's.
        centre: mean of the teacher's features over rows and places.
        spread: their mean square around it: a distance is a share of that, and 1 for a student that knows nothing.
    """

    student: str
    teacher: str
    sizes: tuple[int, int]
    centre: torch.Tensor
    spread: float


def pairs(
    names: Sequence[str], *, student: nn.Module, teacher: nn.Module, shape: Mapping[str, Any], data: Dataset
) -> tuple[Pair, ...]:
    """The layers to compare.

    Args:
        names: `NAME` or `STUDENT=TEACHER`; none: the layers of a narrow student that have fewer channels.
        student: in evaluation mode.
        teacher: in evaluation mode.
        shape: of the student, from `students.plan`.
        data: its training rows are run.

    Raises:
        BadSpec: a layer is not there, is not run, or has features of another form than its counterpart.
    """
    import torch

    if not names:
        names = [
            name for name, size in shape.get("layers", {}).items() if _is_matrix(student, name) and "outputs" in size
        ]
    if not names:
        raise BadSpec(
            "distill.hiddenWeight needs distill.hiddenLayers for a student that is not Narrow: name layers as "
            "STUDENT=TEACHER"
        )
    split = [(own, other or own) for own, _, other in (name.partition("=") for name in names)]
    rows = torch.from_numpy(data.train.rows[:ROWS])
    with torch.no_grad():
        _, own = run(student, layers=[one for one, _ in split], rows=rows)
        _, wanted = run(teacher, layers=[other for _, other in split], rows=rows)
    return tuple(
        _pair(name, *both, features=(own[i], wanted[i]))
        for i, (name, both) in enumerate(zip(names, split, strict=True))
    )


def _is_matrix(network: nn.Module, name: str) -> bool:
    weight = getattr(network.get_submodule(name), "weight", None)
    return weight is not None and weight.ndim > 1


def _pair(name: str, student: str, teacher: str, *, features: tuple[torch.Tensor, torch.Tensor]) -> Pair:
    own, wanted = features
    if own.shape[:-1] != wanted.shape[:-1]:
        raise BadSpec(
            f"distill.hiddenLayers has {name!r}, but the student's features have the form {tuple(own.shape[1:])} and "
            f"the teacher's {tuple(wanted.shape[1:])}: only the last number may differ; name other layers"
        )
    centre = wanted.reshape(-1, wanted.shape[-1]).mean(dim=0)
    spread = max(float((wanted - centre).square().mean()), math.ulp(1.0))
    sizes = (own.shape[-1], wanted.shape[-1])
    return Pair(student=student, teacher=teacher, sizes=sizes, centre=centre, spread=spread)


def run(network: nn.Module, *, layers: Sequence[str], rows: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Answers, and what the named layers gave on the way, channels last.

    Raises:
        BadSpec: a layer is not there, is not run by calling it, or gives more than one tensor.
    """
    import torch

    found: dict[str, torch.Tensor] = {}

    def keep(_: nn.Module, __: object, features: object, *, name: str) -> None:
        if isinstance(features, torch.Tensor):
            found[name] = features.movedim(1, -1) if features.ndim == 4 else features

    modules = {name: module for name, module in network.named_modules() if name}
    unknown = next((name for name in layers if name not in modules), None)
    if unknown is not None:
        raise BadSpec(f"distill.hiddenLayers has {unknown!r}, which is no layer; {suggest(unknown, modules)}")
    hooks = [modules[name].register_forward_hook(functools.partial(keep, name=name)) for name in set(layers)]
    try:
        answers = network(rows)
    finally:
        for hook in hooks:
            hook.remove()
    silent = next((name for name in layers if name not in found), None)
    if silent is not None:
        raise BadSpec(
            f"distill.hiddenLayers has {silent!r}, which is not called for one tensor: name the layer around it"
        )
    return answers, [found[name] for name in layers]


def attached(student: nn.Module, *, compared: Sequence[Pair]) -> nn.Module:
    """The student with its projections, as one network to train; it answers as the student does."""
    from torch import Tensor, nn

    class Hinted(nn.Module):
        """A student and what compares it."""

        def __init__(self) -> None:
            super().__init__()
            self.student = student
            projections = [nn.Linear(*pair.sizes) for pair in compared]
            for projection, pair in zip(projections, compared, strict=True):
                nn.init.zeros_(projection.weight)
                projection.bias.data.copy_(pair.centre)  # so that learning starts at a distance of 1
            self.projections = nn.ModuleList(projections)

        def forward(self, rows: Tensor) -> Tensor:
            answers: Tensor = self.student(rows)
            return answers

    return Hinted()


def answers_and_distance(
    network: nn.Module, *, teacher: nn.Module, compared: Sequence[Pair], rows: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The student's answers, the teacher's, and how far their features are apart.

    Args:
        network: from `attached`.
        teacher: in evaluation mode.
        compared: the same as there.
        rows: some.

    Returns:
        Both answers; and the mean over the layers of the mean squared distance, as a share of the teacher's spread.
    """
    import torch

    student, projections = network.get_submodule("student"), network.get_submodule("projections")
    with torch.no_grad():
        wanted, goals = run(teacher, layers=[pair.teacher for pair in compared], rows=rows)
    answers, features = run(student, layers=[pair.student for pair in compared], rows=rows)
    distances = [
        (project(own) - goal).square().mean() / pair.spread
        for project, own, goal, pair in zip(projections.children(), features, goals, compared, strict=True)
    ]
    return answers, wanted, torch.stack(distances).mean()
