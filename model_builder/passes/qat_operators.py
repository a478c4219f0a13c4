"""The operators of ONNX that quantization-aware training computes in torch, where gradients are.

They follow the ONNX operator specification (opset 18 to 20) for what exported networks use of it; whatever else a graph
holds is named and refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model_builder.errors import BadSpec

if TYPE_CHECKING:
    import onnx
    import torch

Operator = Callable[[Sequence[Any], Mapping[str, Any]], Any]


def compute(node: onnx.NodeProto, inputs: Sequence[torch.Tensor | None], attributes: Mapping[str, Any]) -> torch.Tensor:
    """The first output of a node.

    Args:
        node: only its kind counts.
        inputs: None where an optional one is left out.
        attributes: name -> plain value.
    """
    answer: torch.Tensor = OPERATORS[node.op_type](inputs, attributes)
    return answer


def check(nodes: Sequence[onnx.NodeProto]) -> None:
    """Fail where a node can't be computed here, before anything is trained.

    Raises:
        BadSpec: names the kinds of nodes.
    """
    unknown = sorted({node.op_type for node in nodes if node.domain not in ("", "ai.onnx") or not _known(node)})
    if unknown:
        raise BadSpec(f"qat can't train through {', '.join(unknown)}: use quantize, which needs no training")


def _known(node: onnx.NodeProto) -> bool:
    padded = any(attribute.name == "auto_pad" and attribute.s != b"NOTSET" for attribute in node.attribute)
    return node.op_type in OPERATORS and not padded


def _conv(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    from torch.nn import functional

    rows, weight, bias = (*inputs, None)[:3]
    dimensions = weight.ndim - 2
    kernel = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[dimensions]
    rows = _padded(rows, attributes, dimensions=dimensions, value=0.0)
    stride, dilation = (attributes.get(name, [1] * dimensions) for name in ("strides", "dilations"))
    return kernel(rows, weight, bias, stride=stride, dilation=dilation, groups=attributes.get("group", 1))


def _padded(rows: Any, attributes: Mapping[str, Any], *, dimensions: int, value: float) -> Any:
    """ONNX tells the beginnings of all dimensions, then the ends; torch pairs, the last dimension first."""
    from torch.nn import functional

    pads = attributes.get("pads", [0] * 2 * dimensions)
    pairs = [side for d in reversed(range(dimensions)) for side in (pads[d], pads[d + dimensions])]
    return functional.pad(rows, pairs, value=value) if any(pairs) else rows


def _max_pool(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    from torch.nn import functional

    kernel = attributes["kernel_shape"]
    pool = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}[len(kernel)]
    rows = _padded(inputs[0], attributes, dimensions=len(kernel), value=float("-inf"))
    ones = [1] * len(kernel)
    return pool(
        rows,
        kernel,
        stride=attributes.get("strides", ones),
        dilation=attributes.get("dilations", ones),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )


def _gemm(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    left, right, bias = (*inputs, None)[:3]
    left = left.T if attributes.get("transA") else left
    right = right.T if attributes.get("transB") else right
    product = attributes.get("alpha", 1.0) * (left @ right)
    return product if bias is None else product + attributes.get("beta", 1.0) * bias


def _reshape(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    rows, shape = inputs[0], inputs[1].tolist()
    kept = [rows.shape[i] if size == 0 and not attributes.get("allowzero") else size for i, size in enumerate(shape)]
    return rows.reshape(kept)


def _flatten(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    axis = attributes.get("axis", 1)
    before = inputs[0].shape[:axis].numel()
    return inputs[0].reshape(before, -1)


def _unsqueeze(inputs: Sequence[Any], _: Mapping[str, Any]) -> Any:
    rows, axes = inputs[0], inputs[1].tolist()
    rank = rows.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        rows = rows.unsqueeze(axis)
    return rows


def _squeeze(inputs: Sequence[Any], _: Mapping[str, Any]) -> Any:
    return inputs[0].squeeze(tuple(inputs[1].tolist())) if len(inputs) > 1 else inputs[0].squeeze()


def _transpose(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    return inputs[0].permute(attributes.get("perm", list(reversed(range(inputs[0].ndim)))))


def _concat(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    import torch

    return torch.cat(list(inputs), dim=attributes["axis"])


def _gather(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    rows, places = inputs
    axis = attributes.get("axis", 0) % rows.ndim
    found = rows.index_select(axis, places.reshape(-1) % rows.shape[axis])
    return found.reshape(*rows.shape[:axis], *places.shape, *rows.shape[axis + 1 :])


def _reduce_mean(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    rows = inputs[0]
    axes = inputs[1].tolist() if len(inputs) > 1 else list(range(rows.ndim))
    return rows.mean(dim=axes, keepdim=bool(attributes.get("keepdims", 1)))


def _layer_norm(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    from torch.nn import functional

    rows, scale, bias = (*inputs, None)[:3]
    shape = rows.shape[attributes.get("axis", -1) % rows.ndim :]
    return functional.layer_norm(rows, shape, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _batch_norm(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    from torch.nn import functional

    rows, scale, bias, mean, variance = inputs
    return functional.batch_norm(rows, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _clip(inputs: Sequence[Any], _: Mapping[str, Any]) -> Any:
    rows, low, high = (*inputs, None, None)[:3]
    rows = rows if low is None else rows.clamp(min=float(low))
    return rows if high is None else rows.clamp(max=float(high))


def _gelu(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    from torch.nn import functional

    return functional.gelu(inputs[0], approximate=attributes.get("approximate", b"none").decode())


OPERATORS: Mapping[str, Operator] = {
    "Add": lambda i, _: i[0] + i[1],
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": lambda i, _: i[0] / i[1],
    "Erf": lambda i, _: i[0].erf(),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda i, _: i[0].mean(dim=list(range(2, i[0].ndim)), keepdim=True),
    "Identity": lambda i, _: i[0],
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda i, a: i[0].clamp(min=0) + a.get("alpha", 0.01) * i[0].clamp(max=0),
    "MatMul": lambda i, _: i[0] @ i[1],
    "MaxPool": _max_pool,
    "Mul": lambda i, _: i[0] * i[1],
    "ReduceMean": _reduce_mean,
    "Relu": lambda i, _: i[0].relu(),
    "Reshape": _reshape,
    "Sigmoid": lambda i, _: i[0].sigmoid(),
    "Softmax": lambda i, a: i[0].softmax(dim=a.get("axis", -1)),
    "Sqrt": lambda i, _: i[0].sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda i, _: i[0] - i[1],
    "Tanh": lambda i, _: i[0].tanh(),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
