"""Searches the parameters of a training on the validation split, and keeps the best network that it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model_builder.decode import Range
from model_builder.errors import BadSpec
from model_builder.passes import finetune, tune_search
from model_builder.passes.base import Context, Pass, Stage
from model_builder.passes.objective import error_and_loss
from model_builder.passes.tune_search import Outcome, Space
from model_builder.passes.tune_trials import Trials, has_dropout

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Parameters:
    """What is searched, and how much the search may cost. Two equal limits, or one value, fix a parameter."""

    trials: Annotated[int, Range(1, 1000), "trainings of the search"] = 12
    workers: Annotated[
        int,
        Range(1, 64),
        "trials side by side; those of one round know nothing of each other, so it is part of the result",
    ] = 1
    epochs: Annotated[int, Range(1, 500), "passes over the training rows of each trial, at most"] = 10
    pruner: Annotated[
        Literal["Median", "Off"], "Median: a trial ends where its validation loss is above the median of the others'"
    ] = "Median"
    learning_rate: Annotated[
        tuple[Annotated[float, Range(1e-7, 10)], ...], Range(2, 2), "limits of the peak rate, searched on a log scale"
    ] = (1e-5, 1e-2)
    weight_decay: Annotated[
        tuple[Annotated[float, Range(0, 1)], ...], Range(2, 2), "limits; on a log scale where the lower is above zero"
    ] = (1e-4, 0.1)
    batch_size: Annotated[tuple[Annotated[int, Range(1, 8192)], ...], Range(1, 16), "rows per step to choose from"] = (
        16,
        32,
        64,
    )
    optimizer: Annotated[tuple[Literal["AdamW", "Sgd"], ...], Range(1, 2), "optimizers to choose from"] = ("AdamW",)
    schedule: Annotated[
        tuple[Literal["Constant", "Linear", "Cosine"], ...], Range(1, 3), "how the rate falls, to choose from"
    ] = ("Cosine", "Linear")
    dropout: Annotated[
        tuple[Annotated[float, Range(0, 0.95)], ...],
        Range(0, 2),
        "limits of the rate of all dropout layers; empty: they stay as they are",
    ] = ()


def apply(*, network: nn.Module, parameters: Parameters, context: Context) -> nn.Module:
    """Search in rounds of `workers` trials; the network as it came wins unless a trial has a lower validation loss.

    Raises:
        BadSpec: Optuna is missing; limits that are upside down; a dropout rate for a network without dropout.
        OutOfMemory: trials side by side need more than there is.
    """
    space = _space(parameters, network=network)
    tune_search.check()
    network.eval()
    before = error_and_loss(network, data=context.data)
    trials = Trials(network=network, epochs=parameters.epochs, context=context)
    finished: list[Outcome] = []
    while len(finished) < parameters.trials:
        count = min(parameters.workers, parameters.trials - len(finished))
        candidates = tune_search.ask(
            finished, count=count, space=space, seed=context.seed, prune=parameters.pruner == "Median"
        )
        finished += trials.run(candidates)
        best = _best(finished)
        for outcome in finished:
            if outcome is not best:
                trials.forget(outcome.number)
        told = {} if best is None else {"bestLoss": round(best.loss, 5)}
        context.reporter.step(done=len(finished), total=parameters.trials, **told)
    return _conclude(network, trials=trials, finished=finished, before=before)


def _space(parameters: Parameters, *, network: nn.Module) -> Space:
    ranges = {"learningRate": parameters.learning_rate, "weightDecay": parameters.weight_decay}
    if parameters.dropout:
        ranges["dropout"] = parameters.dropout
        if not has_dropout(network):
            raise BadSpec("tune.dropout is set, but the network has no dropout layer: leave it out")
    for name, limits in ranges.items():
        if len(limits) != 2 or limits[0] > limits[1]:
            raise BadSpec(f"tune.{name} is {list(limits)}; it must be a lower and an upper limit, such as [0.0, 0.1]")
    choices: dict[str, Sequence[str | int]] = {
        "batchSize": parameters.batch_size,
        "optimizer": parameters.optimizer,
        "schedule": parameters.schedule,
    }
    usual = finetune.Parameters()
    wanted: dict[str, Any] = {
        "learningRate": usual.learning_rate,
        "weightDecay": usual.weight_decay,
        "batchSize": usual.batch_size,
        "optimizer": usual.optimizer,
        "schedule": usual.schedule,
        "dropout": 0.0,
    }
    first = {name: min(max(wanted[name], low), high) for name, (low, high) in ranges.items()}
    kept = {name: wanted[name] if wanted[name] in values else values[0] for name, values in choices.items()}
    return Space(
        ranges={name: (low, high) for name, (low, high) in ranges.items()}, choices=choices, first=first | kept
    )


def _best(finished: Sequence[Outcome]) -> Outcome | None:
    """The trial with the lowest loss, the first of several; None where all were pruned or failed."""
    whole = [outcome for outcome in finished if outcome.state == "Complete"]
    return min(whole, key=lambda outcome: outcome.loss, default=None)


def _conclude(
    network: nn.Module, *, trials: Trials, finished: Sequence[Outcome], before: tuple[float, float]
) -> nn.Module:
    """Give the network the weights of the best trial where that is better, and record the search."""
    context, best = trials.context, _best(finished)
    error, loss = before
    kept = False
    if best is not None and best.loss < loss:
        untouched = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(trials.weights(best.number))
        error, loss = error_and_loss(network, data=context.data)
        kept = error <= before[0]
        if not kept:
            network.load_state_dict(untouched)
    counts = {state: sum(outcome.state == state for outcome in finished) for state in ("Complete", "Pruned", "Failed")}
    context.record.update(
        {
            "trials": [_row(outcome) for outcome in finished],
            "before": {"error": before[0], "loss": round(before[1], 6)},
            "best": None if best is None else best.number,
            "kept": "tuned" if kept else "untuned",
            "training": {} if best is None else dict(best.training),
        }
    )
    verdict = (
        f"trial {best.number} is kept, with a validation loss of {loss:.4g} instead of {before[1]:.4g}"
        if best is not None and kept
        else f"none was better than the network as it was, with a validation loss of {before[1]:.4g}: it is kept"
    )
    context.notes.append(
        f"tune: of {len(finished)} trials {counts['Pruned']} were ended early and {counts['Failed']} diverged; "
        f"{verdict}"
    )
    return network


def _row(outcome: Outcome) -> dict[str, Any]:
    """A trial as the manifest tells it; `loss` is the lowest on the validation split, `epochs` how far it got."""
    loss = round(outcome.loss, 6) if outcome.losses else None
    figures = {"trial": outcome.number, "state": outcome.state, "loss": loss, "epochs": len(outcome.losses)}
    return {**figures, **outcome.parameters}


PASS = Pass(
    name="tune",
    stage=Stage.NETWORK,
    summary="searches learning rate, weight decay, batch size and more on the validation split; keeps the best network",
    parameters=Parameters,
    apply=apply,
)
