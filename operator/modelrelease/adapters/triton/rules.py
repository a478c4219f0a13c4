"""When two answers of an output agree: as `spec.rollout.analysis.golden.compare` declares it. Pure; nobody's code runs.

A row is what lies along an output's last axis: the scores of one input, one embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelrelease.domain.observed import Contract, Tensor
from modelrelease.domain.policy import OutputComparison

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is declared, by output, and the absolute tolerance of the golden set for what is not."""

    tolerance: float
    declared: Mapping[str, OutputComparison]


def unfit(rule: OutputComparison, contract: Contract) -> str | None:
    """Return why a rule can't be applied to a model with this contract, None if it can."""
    where = f"golden.compare of output {rule.output}"
    tensor = next((tensor for tensor in contract.outputs if tensor.name == rule.output), None)
    if tensor is None:
        return f"{where}: the model has no such output, it has {', '.join(t.name for t in contract.outputs)}"
    if not tensor.datatype.startswith(("FP", "BF", "INT", "UINT")):
        return f"{where}: it is {tensor.datatype}, and only numbers can be compared so: leave the output out"
    width = _width(tensor)
    if rule.top is not None and 0 < width <= rule.top.k:
        return f"{where}: top.k is {rule.top.k}, and a row has {width} numbers: choose a smaller k"
    if rule.cosine is not None and width == 1:
        return f"{where}: a row has one number, which has no direction: write tolerance"
    return None


def fitting(rules: Iterable[OutputComparison], contract: Contract) -> Mapping[str, OutputComparison]:
    """Return the rules that fit a contract, by output."""
    return {rule.output: rule for rule in rules if unfit(rule, contract) is None}


def apart(rule: OutputComparison, found: NDArray[Any], wanted: NDArray[Any]) -> tuple[NDArray[np.bool_], str]:
    """Return which rows of two answers, of one shape, do not agree, and by how much the worst one does not."""
    mine, theirs = _rows(found), _rows(wanted)
    if rule.tolerance is not None:
        absolute, relative = rule.tolerance.absolute, rule.tolerance.relative
        off = np.abs(mine - theirs)
        over = off > absolute + relative * np.abs(theirs)
        worst = off[over].max() if over.any() else 0.0
        return np.asarray(
            over.any(axis=1)
        ), f"is off by {worst:.3g}, allowed is {absolute:.3g} + {relative:.3g} of the value"
    if rule.top is not None:
        k, least = min(rule.top.k, mine.shape[1]), rule.top.overlap
        shares = np.array([len(_top(a, k) & _top(b, k)) / k for a, b in zip(mine, theirs, strict=True)])
        return shares < least - _ROUNDING, f"shares {shares.min():.3g} of its {k} largest, {least:.3g} is allowed"
    assert rule.cosine is not None, "the API takes exactly one way to compare"
    cosines = _cosines(mine, theirs)
    return cosines < rule.cosine - _ROUNDING, f"has the cosine {cosines.min():.4g}, {rule.cosine:.4g} is allowed"


def _width(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def _rows(value: NDArray[Any]) -> NDArray[np.float64]:
    return value.astype(np.float64).reshape(-1, value.shape[-1])


def _top(row: NDArray[np.float64], k: int) -> set[int]:
    """Return the places of the k largest numbers; of equal ones the first."""
    return set(np.argsort(-row, kind="stable")[:k].tolist())


def _cosines(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows; two rows of zeros are the same, one such row is like no other."""
    same = (~mine.any(axis=1)) & (~theirs.any(axis=1))
    return np.where(same, 1.0, (_direction(mine) * _direction(theirs)).sum(axis=1))


def _direction(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows of length 1, or of zeros; scaled first, for the squares of tiny numbers vanish."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(length > 0, length, 1.0)
