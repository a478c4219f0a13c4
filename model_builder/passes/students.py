"""Networks that are smaller than their teacher, with fresh weights; and the same again from what a record tells."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model_builder import architectures
from model_builder.architectures.base import Ends
from model_builder.data.base import Dataset
from model_builder.decode import suggest
from model_builder.errors import BadSpec
from model_builder.passes import chains

if TYPE_CHECKING:
    from torch import Tensor, nn

NARROW, MLP = "Narrow", "Mlp"
#: A column that hardly varies is scaled as if it varied a tenth of what columns do on average.
_LEAST_SPREAD = 0.1


def plan(kind: str, *, teacher: nn.Module, width: float, hidden: int, data: Dataset) -> dict[str, Any]:
    """The shape of a student, as plain values for the record.

    Args:
        kind: `Narrow`, `Mlp` or the name of a built-in architecture.
        teacher: in evaluation mode.
        width: share of the teacher's channels that a narrow student has.
        hidden: units of the hidden layer of an Mlp.
        data: rows tell what goes in.

    Raises:
        BadSpec: there is no such student, or not for such a teacher or such rows.
    """
    import torch

    rows = torch.from_numpy(data.train.rows[:2])
    if kind == NARROW:
        links = chains.links(teacher, example=rows)
        if not links:
            raise BadSpec("distill.student is Narrow, but the network has no chain of layers: name another student")
        return {"student": kind, "layers": _narrower(teacher, links=links, width=width)}
    if kind == MLP:
        if not rows.is_floating_point():
            raise BadSpec("distill.student is Mlp, which is for rows of numbers, not of tokens: name another student")
        with torch.no_grad():
            outputs = teacher(rows).reshape(2, -1).shape[1]
        return {"student": kind, "sizes": [rows[0].numel(), hidden, outputs], "standardised": True}
    if kind not in architectures.REGISTRY:
        raise BadSpec(f"distill.student is {kind!r}; {suggest(kind, [NARROW, MLP, *architectures.REGISTRY])}")
    ends = dataclasses.asdict(Ends.of(data)) if kind in architectures.SIZED else None
    return {"student": kind, "ends": ends, "standardised": data.normalization is not None}


def _narrower(teacher: nn.Module, *, links: list[chains.Link], width: float) -> dict[str, dict[str, int]]:
    import torch

    def share(link: chains.Link) -> int:
        weight = teacher.get_submodule(link.producer).weight
        assert isinstance(weight, torch.Tensor)
        return max(1, round(width * len(weight)))

    return chains.merged(link.sizes(share(link)) for link in links)


def make(shape: Mapping[str, Any], *, teacher: nn.Module, mean: Tensor | None, scale: Tensor | None) -> nn.Module:
    """A student of the planned shape; its weights follow torch's seed.

    Args:
        shape: what `plan` gave.
        teacher: the network to be narrowed; it stays as it is.
        mean: of the standardisation, if the shape has one.
        scale: of the standardisation.
    """
    from torch import nn

    if shape["student"] == NARROW:
        student = copy.deepcopy(teacher)
        chains.reshape(student, layers=shape["layers"])
        for module in student.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        return student
    if shape["student"] == MLP:
        inputs, hidden, outputs = shape["sizes"]
        bare: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    else:
        made = architectures.make(shape["student"], parameters={}, ends=lambda: Ends(**shape["ends"]))
        bare = made.network
    if not shape["standardised"]:
        return bare
    assert mean is not None
    assert scale is not None
    return nn.Sequential(_standardisation(mean, scale), bare)


def _standardisation(mean: Tensor, scale: Tensor) -> nn.Module:
    from torch import nn

    class Standardisation(nn.Module):
        """`(row - mean) / scale`, stored and exported with the weights."""

        mean: Tensor
        scale: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", mean)
            self.register_buffer("scale", scale)

        def forward(self, rows: Tensor) -> Tensor:
            return (rows - self.mean) / self.scale

    return Standardisation()


def standardisation(data: Dataset) -> tuple[Tensor, Tensor]:
    """Mean and scale: those of the data set's normalization, or those of the training rows, value by value."""
    import torch

    if data.normalization is not None:
        mean, scale = data.normalization.mean, data.normalization.scale
        return torch.from_numpy(mean).to(torch.float32), torch.from_numpy(scale).to(torch.float32)
    rows = torch.from_numpy(data.train.rows)
    spread = rows.std(dim=0, correction=0)
    least = max(float(spread.mean()) * _LEAST_SPREAD, math.ulp(1.0))
    return rows.mean(dim=0), spread.clamp(min=least)
