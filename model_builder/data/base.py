"""What a data set is, once it is read, cleaned and split. Every reader ends here, and every pass starts here."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model_builder.data.augmentation import Augmentation

#: The label of a token that counts neither in a loss nor in a metric (padding, or a word that nobody labelled).
IGNORED_LABEL = -100
SPLITS = ("train", "validation", "test")


class Task(enum.StrEnum):
    """What the labels ask for."""

    CLASSIFICATION = "Classification"
    REGRESSION = "Regression"
    TOKEN_CLASSIFICATION = "TokenClassification"  # noqa: S105 - a token of a text


@dataclass(frozen=True)
class Split:
    """Rows as the served model gets them (raw), their labels, and the sensitive columns that fairness is judged by.

    Attributes:
        rows: (n, ...) raw values.
        labels: (n,) int64 for classes, (n,) float32 for regression, (n, length) int64 for tokens with
            `IGNORED_LABEL` where there is nothing to judge.
        groups: column name -> (n,) strings.
    """

    rows: NDArray[Any]
    labels: NDArray[Any]
    groups: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Normalization:
    """`(row - mean) / scale`, element by element, computed on the training split; it becomes part of the served graph.

    Attributes:
        mean: float32, broadcasts against one row.
        scale: float32, broadcasts against one row; never zero.
    """

    mean: NDArray[Any]
    scale: NDArray[Any]

    def to_json(self) -> dict[str, Any]:
        """As it appears in the manifest."""
        return {"mean": self.mean.ravel().tolist(), "scale": self.scale.ravel().tolist()}


@dataclass(frozen=True)
class Column:
    """One feature, or all values of a row where they have no names; the range is that of the training split."""

    name: str
    minimum: float
    maximum: float
    mean: float

    def to_json(self) -> dict[str, Any]:
        """As it appears in the manifest."""
        return {"name": self.name, "minimum": self.minimum, "maximum": self.maximum, "mean": self.mean}


@dataclass(frozen=True)
class Schema:
    """What a client has to send: type and shape of one row, and the range that the model has seen."""

    dtype: str
    shape: tuple[int, ...]
    columns: tuple[Column, ...]

    def to_json(self) -> dict[str, Any]:
        """As it appears in the manifest."""
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "columns": [column.to_json() for column in self.columns],
        }


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits. Passes choose on `validation`; only metrics and gates read `test`."""

    name: str
    digest: str
    task: Task
    #: Names of the classes in the order of their numbers; empty for a regression.
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    #: Inputs at the edge of what may arrive; a model must answer them with finite numbers.
    extremes: NDArray[Any]
    #: Rows without labels, for distillation.
    unlabelled: NDArray[Any] | None = None
    normalization: Normalization | None = None
    #: What training may do to its rows; nothing else ever sees the changed ones.
    augmentation: Augmentation | None = None
    #: Names of the features, where rows are flat and the features have names.
    columns: tuple[str, ...] = ()
    #: The tokens of a text data set in the order of their numbers, from the training split only.
    vocabulary: tuple[str, ...] = ()
    #: Texts that came with the data, for the search for personal data.
    texts: tuple[str, ...] = ()
    #: What cleaning did, one sentence each, for the report.
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 for a regression."""
        return len(self.classes)

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @functools.cached_property
    def schema(self) -> Schema:
        """Type, shape and ranges of the training rows."""
        rows = self.train.rows
        named = self.columns if rows.ndim == 2 and len(self.columns) == rows.shape[1] else ()
        parts = [(name, rows[:, index]) for index, name in enumerate(named)] or [("value", rows)]
        columns = tuple(
            Column(name=name, minimum=float(part.min()), maximum=float(part.max()), mean=float(part.mean(dtype=float)))
            for name, part in parts
        )
        return Schema(dtype=rows.dtype.name, shape=tuple(rows.shape[1:]), columns=columns)

    @functools.cached_property
    def balance(self) -> dict[str, dict[str, int]]:
        """Split -> class -> number of rows (of tokens, where tokens have the labels); empty for a regression."""
        if self.task is Task.REGRESSION:
            return {}
        return {
            name: {label: int((split.labels == index).sum()) for index, label in enumerate(self.classes)}
            for name, split in self.splits.items()
        }
