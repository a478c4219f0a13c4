"""Training of a network that has learned something already: what may learn, how fast, and when it is enough."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model_builder.decode import Range
from model_builder.errors import BadSpec
from model_builder.passes import lora, precision
from model_builder.passes.base import Context, Pass, Stage
from model_builder.passes.fitting import Settings, fit
from model_builder.passes.objective import supervised

if TYPE_CHECKING:
    from torch import nn

_Train = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Parameters:
    """What learns, how, and for how long."""

    epochs: Annotated[int, Range(0, 500), "passes over the training rows, at most"] = 10
    learning_rate: Annotated[float, Range(1e-7, 10), "peak learning rate"] = 0.0005
    optimizer: Annotated[Literal["AdamW", "Sgd"], "AdamW, or SGD with Nesterov's momentum of 0.9"] = "AdamW"
    schedule: Annotated[Literal["Constant", "Linear", "Cosine"], "how the rate falls after the warm-up"] = "Cosine"
    warmup: Annotated[float, Range(0, 0.5), "share of all steps in which the rate rises"] = 0.1
    weight_decay: Annotated[float, Range(0, 1), "weight decay of matrices and filters, none of biases and norms"] = 0.01
    batch_size: Annotated[int, Range(1, 8192), "rows whose gradients are computed at once"] = 32
    accumulation: Annotated[int, Range(1, 1024), "batches whose gradients make one step"] = 1
    clip: Annotated[float, Range(0, 1e6), "largest L2 norm of a step's gradient; 0: any"] = 1.0
    patience: Annotated[
        int, Range(0, 500), "epochs without a lower validation loss until it stops with the best; 0: takes the last"
    ] = 3
    freeze: Annotated[
        Literal["Nothing", "FirstHalf", "AllButLast"], "layers that do not learn, in the order the network names them"
    ] = "Nothing"
    thaw_after: Annotated[int, Range(0, 500), "epochs after which all layers learn; 0: the frozen stay frozen"] = 0
    regression_loss: Annotated[
        Literal["Squared", "Huber"], "for regressions; Huber cares less for values that are far out"
    ] = "Squared"
    lora_rank: Annotated[
        int, Range(0, 1024), "rank of adapters, which then learn in place of all layers but the last; 0: no adapters"
    ] = 0
    lora_alpha: Annotated[float, Range(1e-3, 1e4), "adapters count loraAlpha / loraRank"] = 16.0
    lora_dropout: Annotated[float, Range(0, 0.9), "share of its inputs that an adapter does not see in a step"] = 0.0
    precision: Annotated[
        Literal["Fp32", "Bf16"], "of the matrix products of the training; weights and loss stay in FP32"
    ] = "Fp32"


def apply(*, network: nn.Module, parameters: Parameters, context: Context) -> nn.Module:
    """Fine-tune in place.

    Raises:
        BadSpec: parameters that exclude each other, or adapters that are larger than all layers.
        GateFailed: the training diverged, with lower rates as well.
        OutOfMemory: not even one row at once fits.
    """
    _check(parameters)
    settings = Settings(
        epochs=parameters.epochs,
        learning_rate=parameters.learning_rate,
        batch_size=parameters.batch_size,
        optimizer=parameters.optimizer,
        schedule=parameters.schedule,
        warmup=parameters.warmup,
        weight_decay=parameters.weight_decay,
        accumulation=parameters.accumulation,
        clip=parameters.clip,
        patience=parameters.patience,
    )
    labels = supervised(context.data, regression_loss=parameters.regression_loss)
    objective = precision.at(parameters.precision, objective=labels)
    train = functools.partial(fit, network, objective=objective, settings=settings, context=context, label="finetune")
    if parameters.lora_rank:
        _by_adapters(network, train=train, parameters=parameters, context=context)
    else:
        _by_layers(network, train=train, parameters=parameters, context=context)
    return network


def _check(parameters: Parameters) -> None:
    if parameters.thaw_after and parameters.freeze == "Nothing":
        raise BadSpec("finetune.thawAfter is set, but nothing is frozen: set finetune.freeze, or leave thawAfter out")
    if parameters.lora_rank and parameters.freeze != "Nothing":
        raise BadSpec("finetune.loraRank freezes all layers but the last by itself: leave finetune.freeze out")
    unused = (parameters.lora_alpha, parameters.lora_dropout) != (Parameters.lora_alpha, Parameters.lora_dropout)
    if unused and not parameters.lora_rank:
        raise BadSpec("finetune.loraAlpha and loraDropout have no effect without adapters: set finetune.loraRank")


def _by_layers(network: nn.Module, *, train: _Train, parameters: Parameters, context: Context) -> None:
    cold = _frozen(network, policy=parameters.freeze)

    def freeze(epoch: int) -> None:
        thawed = 0 < parameters.thaw_after <= epoch
        for layer in cold:
            layer.requires_grad_(requires_grad=thawed)
            layer.train(mode=thawed)  # running means of a frozen batch norm stay as they are, too

    try:
        figures = train(prepare=freeze)
    finally:
        network.requires_grad_(requires_grad=True)  # for the passes after this one
    context.record.update({"training": figures, "frozenLayers": len(cold)})


def _by_adapters(network: nn.Module, *, train: _Train, parameters: Parameters, context: Context) -> None:
    rank, alpha, dropout = parameters.lora_rank, parameters.lora_alpha, parameters.lora_dropout
    with lora.adapted(network, rank=rank, alpha=alpha, dropout=dropout) as adapted:

        def hold(_: int) -> None:
            for layer in adapted.frozen:
                layer.eval()

        figures = train(prepare=hold)
    context.record.update({"training": figures, "lora": adapted.to_json()})


def _frozen(network: nn.Module, *, policy: Literal["Nothing", "FirstHalf", "AllButLast"]) -> list[nn.Module]:
    """The layers with weights of their own that are not to learn."""
    layers = lora.layers(network)
    counts = {"Nothing": 0, "FirstHalf": len(layers) // 2, "AllButLast": len(layers) - 1}
    return layers[: max(0, counts[policy])]


PASS = Pass(
    name="finetune",
    stage=Stage.NETWORK,
    summary="trains a network further: frozen layers, schedules, early stopping on the validation rows",
    parameters=Parameters,
    apply=apply,
    parallel=True,
)
