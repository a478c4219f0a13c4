"""A smaller student learns from the network so far, and is kept only where that helped it."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from model_builder.data.base import IGNORED_LABEL, Dataset, Task
from model_builder.decode import Range
from model_builder.errors import BadSpec
from model_builder.passes import hints, students
from model_builder.passes.base import Context, Pass, Stage
from model_builder.passes.fitting import Settings, fit
from model_builder.passes.objective import (
    Objective,
    answered,
    constant_loss,
    error_and_loss,
    judged,
    loss_sum,
    supervised,
)

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Parameters:
    """Who learns, from what, and how long."""

    student: Annotated[
        str,
        "Narrow: the network so far with a share of its channels; Mlp: one hidden layer; or a built-in architecture",
    ] = "Narrow"
    width: Annotated[float, Range(0.01, 0.95), "share of the channels that a Narrow student has"] = 0.25
    hidden: Annotated[int, Range(1, 65_536), "units of the hidden layer of an Mlp"] = 64
    temperature: Annotated[float, Range(0.1, 100), "softens the teacher's answers; for classes"] = 2.0
    alpha: Annotated[float, Range(0, 1), "weight of the teacher's answers; the labels have the rest"] = 0.9
    hidden_weight: Annotated[
        float, Range(0, 1000), "weight of the distance between features within student and teacher; 0: not compared"
    ] = 0.0
    hidden_layers: Annotated[
        tuple[str, ...],
        Range(0, 64),
        "layers that are compared: NAME or STUDENT=TEACHER; none: those that Narrow makes narrower",
    ] = ()
    epochs: Annotated[int, Range(1, 2000), "passes over the training rows and the unlabelled ones"] = 20
    learning_rate: Annotated[float, Range(1e-7, 10), "peak learning rate of AdamW, then lowered along a cosine"] = 0.003
    batch_size: Annotated[int, Range(1, 8192), "rows per step"] = 32
    weight_decay: Annotated[float, Range(0, 1), "weight decay of matrices and filters"] = 0.01


def apply(*, network: nn.Module, parameters: Parameters, context: Context) -> nn.Module:
    """Train the student by labels alone, and by labels and teacher; keep the second unless it is worse on validation.

    Both start with the same weights, make as many steps and take their epoch with the lowest validation loss.

    Raises:
        BadSpec: the student does not fit the teacher or the rows.
        GateFailed: a training diverged.
    """
    import torch

    data, teacher = context.data, network.eval()
    shape = students.plan(
        parameters.student, teacher=teacher, width=parameters.width, hidden=parameters.hidden, data=data
    )
    mean, scale = students.standardisation(data) if shape.get("standardised") else (None, None)
    distilled = students.make(shape, teacher=teacher, mean=mean, scale=scale)
    _check(distilled, teacher=teacher, data=data, name=parameters.student)
    alone = copy.deepcopy(distilled)
    compared = _compared(distilled, teacher=teacher, shape=shape, data=data, parameters=parameters)
    learner = hints.attached(distilled, compared=compared) if compared else distilled
    objective = _objective(teacher, compared=compared, data=data, parameters=parameters)
    settings = Settings(
        epochs=parameters.epochs,
        learning_rate=parameters.learning_rate,
        batch_size=parameters.batch_size,
        weight_decay=parameters.weight_decay,
        patience=parameters.epochs,
    )
    as_long = math.ceil(parameters.epochs * objective.rows / len(data.train.rows))
    longer = dataclasses.replace(settings, epochs=as_long, patience=as_long)
    trainings = {
        "alone": fit(alone, objective=supervised(data), settings=longer, context=context, label="student alone"),
        "distilled": fit(learner, objective=objective, settings=settings, context=context, label="distillation"),
    }
    context.record.update({**shape, "training": trainings})
    if compared:
        rows = torch.from_numpy(data.validation.rows[: hints.ROWS])
        with torch.no_grad():
            _, _, distance = hints.answers_and_distance(learner, teacher=teacher, compared=compared, rows=rows)
        layers = [[pair.student, pair.teacher] for pair in compared]
        context.record["hidden"] = {"layers": layers, "distance": round(float(distance), 6)}
    return _better(distilled, alone=alone, teacher=teacher, context=context)


def _better(distilled: nn.Module, *, alone: nn.Module, teacher: nn.Module, context: Context) -> nn.Module:
    """The student with the lower error on the validation split, the distilled one if both have the same."""
    named = {"teacher": teacher, "distilled": distilled, "alone": alone}
    errors = {name: error_and_loss(network, data=context.data)[0] for name, network in named.items()}
    kept = "distilled" if errors["distilled"] <= errors["alone"] else "alone"
    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in named.items()}
    context.record.update({"errors": errors, "kept": kept})
    context.record.update({"parametersBefore": sizes["teacher"], "parametersAfter": sizes[kept]})
    told = ", ".join(f"{name} {error:.4g}" for name, error in errors.items())
    verdict = "the distilled student is kept" if kept == "distilled" else "it was worse: the student alone is kept"
    context.notes.append(f"distillation: errors on the validation split are {told}; {verdict}")
    if sizes[kept] >= sizes["teacher"]:
        context.notes.append(
            f"distillation: the student has {sizes[kept]} parameters, no fewer than its teacher ({sizes['teacher']})"
        )
    return named[kept]


def _check(student: nn.Module, *, teacher: nn.Module, data: Dataset, name: str) -> None:
    import torch

    rows = torch.from_numpy(data.train.rows[:2])
    with torch.no_grad():
        wanted = tuple(teacher(rows).shape[1:])
        try:
            given = tuple(student.eval()(rows).shape[1:])
        except Exception as error:  # a network that is given rows of another shape may raise anything
            raise BadSpec(f"distill.student {name!r} can't read the rows of {data.name!r} ({error})") from error
    if given != wanted:
        raise BadSpec(
            f"distill.student {name!r} answers a row in the shape {given}, and its teacher in {wanted}: "
            "name another student"
        )


def _compared(
    student: nn.Module, *, teacher: nn.Module, shape: Mapping[str, Any], data: Dataset, parameters: Parameters
) -> tuple[hints.Pair, ...]:
    """The layers whose features are compared; none where that is off."""
    if parameters.hidden_weight:
        return hints.pairs(parameters.hidden_layers, student=student, teacher=teacher, shape=shape, data=data)
    if parameters.hidden_layers:
        raise BadSpec("distill.hiddenLayers is set, but distill.hiddenWeight is 0: set it, or leave hiddenLayers out")
    return ()


def _objective(
    teacher: nn.Module, *, compared: Sequence[hints.Pair], data: Dataset, parameters: Parameters
) -> Objective:
    """`alpha` parts teacher and the rest labels, over the training rows and, without labels, the unlabelled ones.

    For classes the Kullback-Leibler divergence of softened answers, times the temperature's square, which keeps its
    gradient as large as that of the labels (Hinton et al. 2015, arXiv 1503.02531); for a regression the squared
    distance from the teacher. Where features are compared, their distance counts `hidden_weight` times.
    """
    import torch

    rows, labels = _pool(data)
    counted = judged(labels)
    counted[len(data.train.rows) :] = True
    fixed = data.augmentation is None and not compared
    known = torch.cat(list(answered(teacher, rows=rows))) if fixed else None
    alpha, temperature = parameters.alpha, parameters.temperature

    def loss(network: nn.Module, batch: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        given = rows[batch]
        if data.augmentation is not None:
            given = data.augmentation.apply(given, generator=chance)
        own, apart = labels[batch], torch.zeros(())
        if compared:
            outputs, wanted, apart = hints.answers_and_distance(network, teacher=teacher, compared=compared, rows=given)
        else:
            wanted = known[batch] if known is not None else torch.cat(list(answered(teacher, rows=given)))
            outputs = network(given)
        soft = _distance(outputs, wanted, counted=counted[batch], task=data.task, temperature=temperature)
        labelled = judged(own)
        if data.task is Task.REGRESSION:
            outputs, own = outputs.reshape(own.shape)[labelled], own[labelled]
        hidden = parameters.hidden_weight * apart * counted[batch].sum()
        return alpha * soft + (1 - alpha) * loss_sum(outputs, own, task=data.task) + hidden

    constant = constant_loss(torch.from_numpy(data.train.labels), task=data.task)
    softened = 1.0 if data.task is Task.REGRESSION else max(1.0, temperature**2)
    return Objective(
        rows=len(rows),
        loss=loss,
        weight=lambda batch: float(counted[batch].sum()),
        constant_loss=constant * softened + parameters.hidden_weight,
    )


def _pool(data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Training rows, then unlabelled ones, whose labels do not count."""
    import torch

    rows, labels = torch.from_numpy(data.train.rows), torch.from_numpy(data.train.labels)
    if data.unlabelled is None:
        return rows, labels
    more = torch.from_numpy(data.unlabelled)
    nothing = math.nan if labels.is_floating_point() else IGNORED_LABEL
    none = torch.full((len(more), *labels.shape[1:]), nothing, dtype=labels.dtype)
    return torch.cat([rows, more.to(rows.dtype)]), torch.cat([labels, none])


def _distance(
    outputs: torch.Tensor, wanted: torch.Tensor, *, counted: torch.Tensor, task: Task, temperature: float
) -> torch.Tensor:
    """How far the student's answers are from the teacher's, summed over what counts."""
    from torch.nn import functional

    if task is Task.REGRESSION:
        return (outputs - wanted).square().sum()
    own, other = (functional.log_softmax(part / temperature, dim=-1) for part in (outputs, wanted))
    each = functional.kl_div(own, other, log_target=True, reduction="none").sum(dim=-1)
    return (each * counted).sum() * temperature**2


def restore(*, network: nn.Module, state: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> nn.Module:
    """A student of the shape in the record, filled."""
    student = students.make(record, teacher=network, mean=state.get("0.mean"), scale=state.get("0.scale"))
    student.load_state_dict(state, strict=True)
    return student.eval()


PASS = Pass(
    name="distill",
    stage=Stage.NETWORK,
    summary="trains a smaller student on labels and on the answers of the network so far, also for unlabelled rows",
    parameters=Parameters,
    apply=apply,
    restore=restore,
    lossy=True,
)
