"""Makes a network smaller: single weights to zero, whole channels out, or layers as products of two thin ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model_builder.decode import Range
from model_builder.errors import BadSpec
from model_builder.passes import chains
from model_builder.passes.base import Context, Pass, Stage
from model_builder.passes.fitting import Settings, fit
from model_builder.passes.importance import scores
from model_builder.passes.objective import supervised

if TYPE_CHECKING:
    from torch import Tensor, nn

#: A layer with fewer inputs or outputs (ten logits) has no rank to spare.
_NARROW = 32


@dataclass(frozen=True)
class Parameters:
    """What goes, how much of it, and how the rest is trained to make up for it."""

    structure: Annotated[
        Literal["Weights", "Channels", "LowRank"],
        "Weights: zeros in the layers as they are, chosen over all layers together; Channels: layers with fewer "
        "channels; LowRank: Linear layers as products of two thin ones, by their singular values",
    ] = "Channels"
    amount: Annotated[
        float, Range(0, 0.99), "share of all weights (Weights), of a layer's channels or of a layer's weights (LowRank)"
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
    if parameters.structure == "Weights":
        masks = _zero_weights(network, parameters=parameters, context=context)
    else:
        change = _factorise if parameters.structure == "LowRank" else _remove_channels
        network = change(network, parameters=parameters, context=context)
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
    import torch

    for name, size in record.get("layers", {}).items():
        if "rank" in size:
            network = _replaced(network, name=name, layer=_thin(network.get_submodule(name), rank=size["rank"]))
        else:
            kept = {side: torch.arange(count) for side, count in size.items()}
            chains.narrow(network.get_submodule(name), **kept)
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
    layers: dict[str, dict[str, int]] = {}
    for link in found:
        kept = _most_important(importance[link.producer], amount=parameters.amount)
        given = (kept[:, None] * link.spread + torch.arange(link.spread)).flatten()
        for name in (link.producer, *link.norms):
            chains.narrow(network.get_submodule(name), outputs=kept)
            layers.setdefault(name, {})["outputs"] = len(kept)
        chains.narrow(network.get_submodule(link.consumer), inputs=given)
        layers.setdefault(link.consumer, {})["inputs"] = len(given)
    context.record["layers"] = layers
    return network


def _most_important(importance: Tensor, *, amount: float) -> Tensor:
    """The channels that stay, at least one, in their old order."""
    count = max(1, len(importance) - round(amount * len(importance)))
    return importance.argsort(descending=True, stable=True)[:count].sort().values


# --- low rank ---


def _factorise(network: nn.Module, *, parameters: Parameters, context: Context) -> nn.Module:
    """Write the weights of wide Linear layers as the best product of two thin matrices (Eckart and Young 1936)."""
    from torch import nn

    layers: dict[str, dict[str, int]] = {}
    energies: dict[str, float] = {}
    wide = [
        (name, module)
        for name, module in network.named_modules()
        if type(module) is nn.Linear and min(module.weight.shape) >= _NARROW
    ]
    for name, module in wide:
        outputs, inputs = module.weight.shape
        rank = max(1, int((1 - parameters.amount) * inputs * outputs / (inputs + outputs)))
        thin = _thin(module, rank=rank)
        energies[name] = _fill(thin, weight=module.weight, bias=module.bias)
        network = _replaced(network, name=name, layer=thin)
        layers[name] = {"rank": rank}
    if not wide:
        raise BadSpec(
            f"prune.structure LowRank needs a Linear layer of at least {_NARROW} inputs and outputs, and the network "
            "has none: use Weights or Channels"
        )
    context.record.update({"layers": layers, "energy": energies})
    return network


def _thin(layer: nn.Module, *, rank: int) -> nn.Sequential:
    """Two Linear layers of the given rank between them, in the place of one; not filled yet."""
    from torch import nn

    assert isinstance(layer, nn.Linear)
    first = nn.Linear(layer.in_features, rank, bias=False)
    return nn.Sequential(first, nn.Linear(rank, layer.out_features, bias=layer.bias is not None))


def _fill(thin: nn.Sequential, *, weight: Tensor, bias: Tensor | None) -> float:
    """Fill two thin layers; the share of the weights' sum of squares that they hold."""
    import torch
    from torch import nn

    first, second = thin[0], thin[1]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    with torch.no_grad():
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        rank = len(first.weight)
        root = values[:rank].sqrt()
        first.weight.copy_(root[:, None] * right[:rank])
        second.weight.copy_(left[:, :rank] * root)
        if bias is not None:
            second.bias.copy_(bias)
        return round(float(values[:rank].square().sum() / values.square().sum()), 4)


def _replaced(network: nn.Module, *, name: str, layer: nn.Module) -> nn.Module:
    """The network with another layer at a place; the layer itself where that is all of it."""
    if not name:
        return layer
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)
    return network


PASS = Pass(
    name="prune",
    stage=Stage.NETWORK,
    summary="makes the network smaller: weights to zero, fewer channels, or layers of low rank; then trains the rest",
    parameters=Parameters,
    apply=apply,
    restore=restore,
    lossy=True,
)
