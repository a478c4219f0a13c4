"""What a labelled golden request says of an answer, and which of two answers to it is the better one. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = -100  # the label of a token that nobody judges


class Kind(StrEnum):
    """What labels are: the place of the largest score of a row, or the number that is right."""

    CLASS = "class"
    VALUE = "value"


def signs(
    mine: NDArray[Any], theirs: NDArray[Any], labels: NDArray[Any], *, kind: Kind, tolerance: float
) -> tuple[int, ...]:
    """Return for each input 1 where my answer is the worse one, -1 where it is the better one, 0 where neither is.

    Answers have one row for each input; `labels` has the answers' shape, of classes without the last axis. Numbers
    that are equally far off, within `tolerance`, are equally good.
    """
    more = _loss(mine, labels, kind) - _loss(theirs, labels, kind)
    least = tolerance if kind is Kind.VALUE else 0.0
    return tuple(np.where(np.abs(more) > least, np.sign(more), 0.0).astype(int).tolist())


def _loss(answer: NDArray[Any], labels: NDArray[Any], kind: Kind) -> NDArray[np.float64]:
    """Return how wrong the answer to each input is: wrong classes of it, or how far off its numbers are in all."""
    if kind is Kind.VALUE:
        off = np.abs(answer.astype(np.float64) - labels)
    else:
        # A token that nobody judges is wrong in both answers, whatever they say.
        off = (answer.argmax(axis=-1) != labels).astype(np.float64)
    total: NDArray[np.float64] = off.reshape(len(off), -1).sum(axis=1)
    return total
