"""Gradients of the torch twin with respect to raw rows, and attacks by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

_PORTION = 256
#: Ten steps, each a quarter of the way: enough to come anywhere within the limit and back.
PGD_STEPS, _REACH = 10, 0.25


def differentiable(rows: NDArray[Any]) -> bool:
    """False for rows of whole numbers (tokens), which have no gradient."""
    return bool(numpy.issubdtype(rows.dtype, numpy.floating))


def of_loss(network: nn.Module, rows: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """(n, ...) gradient of each row's cross entropy; zeros where the loss does not depend on the row."""
    import torch

    def loss(part: Tensor, start: int) -> Tensor:
        wanted = torch.from_numpy(labels[start : start + len(part)])
        return torch.nn.functional.cross_entropy(network(part), wanted, reduction="sum")

    return _in_portions(rows, loss)


def of_answer(network: nn.Module, rows: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    """(n, ...) gradient of one output of each row: the logit of its class."""
    import torch

    def answer(part: Tensor, start: int) -> Tensor:
        wanted = torch.from_numpy(classes[start : start + len(part)])
        chosen: Tensor = network(part).gather(1, wanted[:, None])
        return chosen.sum()

    return _in_portions(rows, answer)


def _in_portions(rows: NDArray[Any], output: Any) -> NDArray[Any]:
    import torch

    found = []
    for start in range(0, len(rows), _PORTION):
        part = torch.from_numpy(rows[start : start + _PORTION]).requires_grad_()
        total = output(part, start)
        gradient = torch.autograd.grad(total, part, allow_unused=True)[0] if total.requires_grad else None
        found.append(numpy.zeros_like(part.detach().numpy()) if gradient is None else gradient.numpy())
    return numpy.concatenate(found)


def limits(train: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Smallest and largest value that training rows have: of each feature of a table, of all values of an image."""
    axis = 0 if train.ndim == 2 else None
    return numpy.asarray(train.min(axis=axis)), numpy.asarray(train.max(axis=axis))


def fgsm(
    network: nn.Module, rows: NDArray[Any], labels: NDArray[Any], *, share: float, low: NDArray[Any], high: NDArray[Any]
) -> NDArray[Any]:
    """One step of a share of the range along the sign of the gradient (Goodfellow et al., ICLR 2015)."""
    step = share * (high - low) * numpy.sign(of_loss(network, rows, labels))
    return _within(rows + step, low=low, high=high, like=rows)


def pgd(
    network: nn.Module, rows: NDArray[Any], labels: NDArray[Any], *, share: float, low: NDArray[Any], high: NDArray[Any]
) -> NDArray[Any]:
    """Small steps, each projected back to the share of the range around the row (Madry et al., ICLR 2018)."""
    limit = share * (high - low)
    current = rows
    for _ in range(PGD_STEPS):
        moved = current + _REACH * limit * numpy.sign(of_loss(network, current, labels))
        current = _within(numpy.clip(moved, rows - limit, rows + limit), low=low, high=high, like=rows)
    return current


def noise(
    rows: NDArray[Any], *, share: float, low: NDArray[Any], high: NDArray[Any], random: numpy.random.Generator
) -> NDArray[Any]:
    """Steps as large as those of `fgsm`, in directions of chance."""
    signs = random.choice([-1.0, 1.0], size=rows.shape)
    return _within(rows + share * (high - low) * signs, low=low, high=high, like=rows)


def _within(moved: NDArray[Any], *, low: NDArray[Any], high: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    clipped: NDArray[Any] = numpy.clip(moved, low, high).astype(like.dtype)
    return clipped
