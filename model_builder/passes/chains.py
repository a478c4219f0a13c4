"""Which channels of a network can be taken out, and layers that are made smaller by it.

A layer's channels can go if all that its answer meets on the way to one next layer treats every channel by itself.
That is read off the traced graph (torch.fx), so that a skip connection, a sum over channels or a reshape by hand is
seen, and the layer is left alone.
"""

from __future__ import annotations

import collections
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_builder.errors import BadSpec

if TYPE_CHECKING:
    import torch
    from torch import fx, nn


@dataclass(frozen=True)
class Link:
    """A layer whose channels can go, and who gets them.

    Attributes:
        producer: name of the layer.
        norms: names of the batch norms in between.
        consumer: name of the layer that is given the channels.
        spread: inputs of the consumer per channel: more than one where a flattening lies in between.
    """

    producer: str
    norms: tuple[str, ...]
    consumer: str
    spread: int

    def sizes(self, count: int) -> dict[str, dict[str, int]]:
        """Name of a layer -> its sides and how long they are once the producer has `count` channels."""
        outputs = {name: {"outputs": count} for name in (self.producer, *self.norms)}
        return {**outputs, self.consumer: {"inputs": count * self.spread}}


def merged(parts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """The sizes of several links together: a layer between two links has both sides."""
    whole: dict[str, dict[str, int]] = {}
    for part in parts:
        for name, sides in part.items():
            whole.setdefault(name, {}).update(sides)
    return whole


def links(network: nn.Module, *, example: torch.Tensor) -> list[Link]:
    """All links of a network, in the order in which it computes.

    Args:
        network: in evaluation mode.
        example: (2, ...) raw rows.

    Raises:
        BadSpec: the way through the network depends on the values of its rows.
    """
    from torch import fx
    from torch.fx.passes.shape_prop import ShapeProp

    try:
        traced = fx.symbolic_trace(network)
        ShapeProp(traced).propagate(example)
    except Exception as error:  # user code may raise anything while it is traced
        raise BadSpec(
            f"prune.structure is Channels, but the network can't be traced ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}): use Weights or LowRank"
        ) from error
    alone = _used_once(traced, network=network)
    found = (_link(node, modules=alone) for node in traced.graph.nodes)
    return [link for link in found if link is not None]


def _used_once(traced: fx.GraphModule, *, network: nn.Module) -> dict[str, nn.Module]:
    """Modules that are called once and share no weight with others: only those may change their shape."""
    called = collections.Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    owners = collections.Counter(
        id(parameter) for module in network.modules() for parameter in module.parameters(recurse=False)
    )
    read = {str(node.target).rpartition(".")[0] for node in traced.graph.nodes if node.op == "get_attr"}
    return {
        name: module
        for name, module in network.named_modules()
        if called[name] == 1 and name not in read and all(owners[id(p)] == 1 for p in module.parameters())
    }


def _link(node: fx.Node, *, modules: dict[str, nn.Module]) -> Link | None:
    """The link that begins at a node, if one does."""
    from torch import nn

    producer = _module(node, modules)
    if type(producer) not in (nn.Conv2d, nn.Linear) or getattr(producer, "groups", 1) != 1:
        return None
    images, flattened = type(producer) is nn.Conv2d, False
    if not images and len(_shape(node)) != 2:
        return None
    norms: list[str] = []
    current = node
    while len(current.users) == 1:
        before, current = current, next(iter(current.users))
        module = _module(current, modules)
        if _is_layer(module, images=images, flattened=flattened):
            channels = producer.out_channels if isinstance(producer, nn.Conv2d) else producer.out_features  # type: ignore[union-attr]
            spread = _shape(before)[1] // int(channels)  # type: ignore[arg-type]
            return Link(producer=str(node.target), norms=tuple(norms), consumer=str(current.target), spread=spread)
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d) and not flattened:
            norms.append(str(current.target))
        elif images and not flattened and _is_flatten(current, module):
            flattened = True
        elif not _by_channel(current, module, images=images and not flattened):
            return None
    return None


def _is_layer(module: nn.Module | None, *, images: bool, flattened: bool) -> bool:
    """A layer that can take fewer inputs. Linear on images that nobody flattened works along their width."""
    from torch import nn

    if images and not flattened:
        return type(module) is nn.Conv2d and module.groups == 1
    return type(module) is nn.Linear


def _by_channel(node: fx.Node, module: nn.Module | None, *, images: bool) -> bool:
    """Whether what a node does to one channel depends on that channel alone, and nothing else flows in."""
    import torch
    from torch import nn
    from torch.nn import functional

    if len(node.all_input_nodes) != 1:
        return False
    each = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Tanh, nn.Sigmoid)
    pools = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout2d)
    if module is not None:
        return type(module) in (*each, nn.Dropout, nn.Identity, *(pools if images else ()))
    functions: tuple[Any, ...] = (torch.relu, torch.tanh, torch.sigmoid, functional.relu, functional.gelu)
    functions += (functional.silu, functional.leaky_relu, functional.dropout)
    pooling = (functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d) if images else ()
    if node.op == "call_function":
        scaled = node.target in (operator.mul, operator.truediv) and node.args[0] is node.all_input_nodes[0]
        return scaled or any(node.target is known for known in (*functions, *pooling))
    return node.op == "call_method" and node.target in ("relu", "tanh", "sigmoid", "contiguous")


def _is_flatten(node: fx.Node, module: nn.Module | None) -> bool:
    """From (n, channels, height, width) to (n, channels * height * width), however it is written."""
    import torch
    from torch import nn

    flattens = type(module) is nn.Flatten or node.target is torch.flatten
    flattens = flattens or (node.op == "call_method" and node.target == "flatten")
    return flattens and len(_shape(node)) == 2


def _module(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules.get(str(node.target)) if node.op == "call_module" else None


def _shape(node: fx.Node) -> tuple[int, ...]:
    meta = node.meta.get("tensor_meta")
    return tuple(getattr(meta, "shape", ()))


def reshape(network: nn.Module, *, layers: Mapping[str, Mapping[str, int]]) -> None:
    """Bring layers into the sizes of a record, whatever is in their weights."""
    import torch

    for name, sides in layers.items():
        narrow(network.get_submodule(name), **{side: torch.arange(count) for side, count in sides.items()})


def narrow(module: nn.Module, *, outputs: torch.Tensor | None = None, inputs: torch.Tensor | None = None) -> None:
    """Keep only the named channels (int64) of a Linear, Conv2d or batch norm; None: all."""
    from torch import nn

    if outputs is not None:
        per_channel = ("weight", "bias", "running_mean", "running_var")
        for name in per_channel:
            _keep(module, name, index=outputs, dim=0)
        field = {nn.Linear: "out_features", nn.Conv2d: "out_channels"}.get(type(module), "num_features")
        setattr(module, field, len(outputs))
    if inputs is not None:
        _keep(module, "weight", index=inputs, dim=1)
        setattr(module, "in_features" if type(module) is nn.Linear else "in_channels", len(inputs))


def _keep(module: nn.Module, name: str, *, index: torch.Tensor, dim: int) -> None:
    from torch import nn

    whole = getattr(module, name, None)
    if whole is None:
        return
    part = whole.detach().index_select(dim, index)
    setattr(module, name, nn.Parameter(part) if isinstance(whole, nn.Parameter) else part)
