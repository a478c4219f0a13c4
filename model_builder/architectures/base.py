"""What a network needs to say about itself to be trained, exported and served; and what data asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model_builder.data.base import Task
from model_builder.errors import BadSpec

if TYPE_CHECKING:
    from torch import nn

    from model_builder.data.base import Dataset


@dataclass(frozen=True)
class Architecture:
    """A network from raw rows to logits, and the names under which it is served."""

    network: nn.Module
    input_name: str
    output_name: str


@dataclass(frozen=True)
class Ends:
    """What a data set of tokens asks of both ends of a network: what goes in, what comes out.

    Attributes:
        vocabulary: numbers of tokens are below it.
        outputs: classes, or 1 for a regression.
        per_token: answer every token, not the row as a whole.
    """

    vocabulary: int
    outputs: int
    per_token: bool

    @classmethod
    def of(cls, data: Dataset) -> Ends:
        """Read them off the data.

        Raises:
            BadSpec: the rows are no numbers of tokens.
        """
        rows = data.train.rows
        if rows.ndim != 2 or rows.dtype.kind != "i":
            raise BadSpec(
                f"spec.source names a network for texts, but the rows of {data.name!r} are {rows.dtype} of shape "
                f"{rows.shape[1:]}: give data of the format JsonLines, or Arrays with whole numbers (rows, tokens)"
            )
        return cls(
            vocabulary=len(data.vocabulary) or int(rows.max()) + 1,
            outputs=data.num_classes or 1,
            per_token=data.task is Task.TOKEN_CLASSIFICATION,
        )
