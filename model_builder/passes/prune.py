"""Makes a network smaller: weights to zero, whole channels or attention heads out, or layers as thin products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model_builder.decode import Range
from model_builder.errors import BadSpec
from model_builder.passes import chains, heads, lowrank
from model_builder.passes.base import Context, Pass, Stage
from model_builder.passes.fitting import Settings, fit
from model_builder.passes.importance import scores
from model_builder.passes.objective import supervised

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Parameters:
    """What goes, how much of it, and how the rest is trained to make up for it."""

    structure: Annotated[
        Literal["Weights", "Channels", "Heads", "LowRank"],
        "Weights: zeros in the layers as they are, chosen over all layers together; Channels: layers with fewer "
        "channels; Heads: attention with fewer heads; LowRank: Linear layers as products of two thin ones, by their "
        "singular values",
    ] = "Channels"
    amount: Annotated[
        float, Range(0, 0.99), "share of all weights (Weights), or of each layer's channels, heads or weights (LowRank)"
    ] = 0.5
    importance: Annotated[
        Literal["Magnitude", "Gradient"], "what stays: large weights, or those the loss depends on; not for LowRank"
    ] = "Magnitude"
    gradient_rows: Annotated[int, Range(1, 100_000), "training rows that Gradient is measured on"] = 512
    epochs: Annotated[int, Range(0, 500), "passes over the training rows afterwards; 0: no training"] = 4
    learning_rate: Annotated[float, Range(1e-7, 10), "peak learning rate of AdamW, then lowered along a cosine"] = 0.001
    batch_size: Annotated[int, Range(1, 8192), "rows per step"] = 32


def apply(*, network: nn.Module, parameters: Parameters, context: Context) -> nn.Module:
    """Prune, then train what is left; zeros stay zeros.

    Raises:
        BadSpec: the network has nothing of the kind that is to be pruned.
        GateFailed: the training afterwards diverged.
    """
    if parameters.structure == "LowRank" and parameters.importance == "Gradient":
        raise BadSpec("prune.structure LowRank goes by singular values: leave importance out, or set it to Magnitude")
    before, masks = _size(network), dict[str, "Tensor"]()
    network.eval()
    context.record["structure"] = parameters.structure
    if parameters.structure == "Weights":
        masks = _zero_weights(network, parameters=parameters, context=context)
    else:
        remove = {"Channels": _remove_channels, "Heads": _remove_heads, "LowRank": _factorise}[parameters.structure]
        network = remove(network, parameters=parameters, context=context)
        after = _size(network)
        context.record.update({"parametersBefore": before, "parametersAfter": after})
        context.notes.append(f"prune: the network has {after} parameters, before it had {before}")

    def keep_zeros() -> None:
        _multiply(network, masks=masks)

    settings = Settings(
        epochs=parameters.epochs, learning_rate=parameters.learning_rate, batch_size=parameters.batch_size
    )
    objective = supervised(context.data)
    context.record["training"] = fit(
        network, objective=objective, settings=settings, context=context, label="prune", after_step=keep_zeros
    )
    return network


def restore(*, network: nn.Module, state: Mapping[str, Tensor], record: Mapping[str, Any]) -> nn.Module:
    """Bring the layers into the shapes that the record tells, and fill them."""
    layers = record.get("layers", {})
    if record["structure"] == "Channels":
        chains.reshape(network, layers=layers)
    elif record["structure"] == "LowRank":
        network = lowrank.reshape(network, layers=layers)
    elif record["structure"] == "Heads":
        network = heads.reshape(network, layers=layers)
    network.load_state_dict(state, strict=True)
    return network.eval()


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# --- weights ---


def _zero_weights(network: nn.Module, *, parameters: Parameters, context: Context) -> dict[str, Tensor]:
    """Set the least important weights of all layers together to zero; name of a layer -> where it is not zero."""
    import torch
    from torch import nn

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    layers = [name for name, module in network.named_modules() if isinstance(module, kinds)]
    if not layers:
        raise BadSpec(
            "prune.structure Weights is for Linear and Conv layers, and the network has none: leave prune out"
        )
    found = scores(
        network,
        layers=layers,
        by_channel=False,
        importance=parameters.importance,
        rows=parameters.gradient_rows,
        context=context,
    )
    flat = torch.cat([found[name].flatten() for name in layers])
    count = round(parameters.amount * len(flat))
    mask = torch.ones(len(flat))
    mask[flat.argsort(stable=True)[:count]] = 0
    parts = torch.split(mask, [found[name].numel() for name in layers])
    masks = {name: part.reshape(found[name].shape) for name, part in zip(layers, parts, strict=True)}
    _multiply(network, masks=masks)
    shares = {name: round(1 - float(part.mean()), 4) for name, part in masks.items()}
    context.record.update({"weights": len(flat), "zeros": count, "zeroShare": shares})
    context.notes.append(
        f"prune: {count} of {len(flat)} weights are zero, which makes the model neither faster nor smaller: the "
        "runtime stores zeros and computes with them as with other numbers; structure Channels does buy speed"
    )
    return masks


def _multiply(network: nn.Module, *, masks: Mapping[str, Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, mask in masks.items():
            weight = network.get_submodule(name).weight
            assert isinstance(weight, torch.Tensor)
            weight.mul_(mask)


# --- channels ---


def _remove_channels(network: nn.Module, *, parameters: Parameters, context: Context) -> nn.Module:
    """Take the least important channels out of every layer whose channels only one next layer sees."""
    import torch

    found = chains.links(network, example=torch.from_numpy(context.data.train.rows[:2]))
    if not found:
        raise BadSpec(
            "prune.structure Channels needs a Linear or Conv2d layer whose channels one next layer alone is given, and "
            "the network has none: use Weights or LowRank"
        )
    importance = scores(
        network,
        layers=[link.producer for link in found],
        by_channel=True,
        importance=parameters.importance,
        rows=parameters.gradient_rows,
        context=context,
    )
    sizes: list[dict[str, dict[str, int]]] = []
    for link in found:
        kept = _most_important(importance[link.producer], amount=parameters.amount)
        given = (kept[:, None] * link.spread + torch.arange(link.spread)).flatten()
        for name in (link.producer, *link.norms):
            chains.narrow(network.get_submodule(name), outputs=kept)
        chains.narrow(network.get_submodule(link.consumer), inputs=given)
        sizes.append(link.sizes(len(kept)))
    context.record["layers"] = chains.merged(sizes)
    return network


def _most_important(importance: Tensor, *, amount: float) -> Tensor:
    """The channels or heads that stay, at least one, in their old order."""
    count = max(1, len(importance) - round(amount * len(importance)))
    return importance.argsort(descending=True, stable=True)[:count].sort().values


# --- heads, low rank ---


def _remove_heads(network: nn.Module, *, parameters: Parameters, context: Context) -> nn.Module:
    """Take the least important heads out of every attention."""
    importance = heads.scores(network, importance=parameters.importance, rows=parameters.gradient_rows, context=context)
    kept = {name: _most_important(found, amount=parameters.amount) for name, found in importance.items()}
    context.record["layers"] = {name: {"heads": len(index)} for name, index in kept.items()}
    return heads.keep(network, kept=kept)


def _factorise(network: nn.Module, *, parameters: Parameters, context: Context) -> nn.Module:
    network, layers, energies = lowrank.factorise(network, amount=parameters.amount)
    context.record.update({"layers": layers, "energy": energies})
    return network


PASS = Pass(
    name="prune",
    stage=Stage.NETWORK,
    summary="makes the network smaller: weights to zero, fewer channels or heads, or low rank; then trains the rest",
    parameters=Parameters,
    apply=apply,
    restore=restore,
    lossy=True,
)
