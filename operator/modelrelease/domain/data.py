"""The data set of a release, as `spec.build.evaluation.data` says it and as the build gets it.

What may be left out is None here and has no default in the CRD: the builder fills it in. So a release that says no more
than before has the artifact key that it had before, and its build is told nothing new.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from modelrelease.domain.refs import SecretRef


class Format(StrEnum):
    """What the rows are kept in."""

    BUILTIN = "Builtin"
    ARRAYS = "Arrays"
    CSV = "Csv"
    PARQUET = "Parquet"
    IMAGES = "Images"
    JSON_LINES = "JsonLines"


class Task(StrEnum):
    """What a model learns from the rows."""

    CLASSIFICATION = "Classification"
    REGRESSION = "Regression"
    TOKEN_CLASSIFICATION = "TokenClassification"  # noqa: S105 - no password


class Missing(StrEnum):
    """What happens to a row with an empty cell."""

    FAIL = "Fail"
    DROP = "Drop"
    MEDIAN = "Median"


class Overlap(StrEnum):
    """What happens to a row that stands in more than one split."""

    FAIL = "Fail"
    DROP = "Drop"


class Normalization(StrEnum):
    """How numbers are scaled, by what the training split has of them."""

    OFF = "Off"
    STANDARD = "Standard"
    MIN_MAX = "MinMax"


class Channels(StrEnum):
    """Whether pictures have colors."""

    GRAY = "Gray"
    COLOR = "Color"


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Splits that exist already: where each lies."""

    train: str
    test: str
    validation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What happens to rows that can't be used as they are."""

    missing: Missing = Missing.FAIL
    overlap: Overlap = Overlap.FAIL


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Small changes of training rows that leave their labels true."""

    flip: bool = False
    shift: int = 0
    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Image:
    """The size of pictures in pixels; 0 takes that which all of them have."""

    height: int = 0
    width: int = 0
    channels: Channels = Channels.COLOR


@dataclass(frozen=True, kw_only=True)
class Text:
    """How texts become numbers."""

    length: int = 64
    vocabulary: int | None = None
    lowercase: bool = True
    vocabulary_uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data set that trains and evaluates, and the credentials of its place."""

    name: str
    seed: int = 0
    format: Format | None = None
    task: Task | None = None
    uri: str | None = None
    splits: Splits | None = None
    unlabelled: str | None = None
    secret_ref: SecretRef | None = None
    columns: tuple[str, ...] | None = None
    label: str | None = None
    groups: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    cleaning: Cleaning | None = None
    normalization: Normalization | None = None
    augmentation: Augmentation | None = None
    image: Image | None = None
    text: Text | None = None
    max_bytes: int | None = None

    @property
    def uris(self) -> dict[str, str]:
        """Where its parts lie, by the field that says it."""
        said = {"uri": self.uri, "unlabelled": self.unlabelled}
        if self.splits:
            said |= {f"splits.{name}": getattr(self.splits, name) for name in ("train", "validation", "test")}
        if self.text:
            said["text.vocabularyUri"] = self.text.vocabulary_uri
        return {field: uri for field, uri in said.items() if uri is not None}
