"""The `data` section of a build spec, and what can be wrong with it before a byte is read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from model_builder.data.augmentation import Augmentation
from model_builder.data.base import Task
from model_builder.decode import Pattern, Range, camel, suggest
from model_builder.errors import BadSpec

#: The part of a data set that has no rows.
VOCABULARY = "vocabulary"
Format = Literal["Builtin", "Arrays", "Csv", "Parquet", "Images", "JsonLines"]


@dataclass(frozen=True)
class Splits:
    """Given splits; without `validation` it is taken from the training rows."""

    train: str
    test: str
    validation: str | None = None


@dataclass(frozen=True)
class Cleaning:
    """What happens to rows with gaps, and to rows that stand in more than one given split."""

    missing: Annotated[Literal["Fail", "Drop", "Median"], "empty cells: refuse, drop the row, or fill in"] = "Fail"
    overlap: Annotated[Literal["Fail", "Drop"], "a row of the test split in training: refuse, or drop there"] = "Fail"


@dataclass(frozen=True)
class Image:
    """Pictures are brought to this size; 0 takes the size that all of them have."""

    height: Annotated[int, Range(0, 4096)] = 0
    width: Annotated[int, Range(0, 4096)] = 0
    channels: Literal["Gray", "Color"] = "Color"


@dataclass(frozen=True)
class Text:
    """How texts become numbers: words and signs, the most frequent of the training split get a number."""

    length: Annotated[int, Range(1, 4096), "tokens per row; longer texts are cut, shorter ones padded"] = 64
    vocabulary: Annotated[int, Range(3, 1_000_000), "largest number of different tokens"] = 20_000
    lowercase: bool = True
    #: The vocabulary.json of an earlier artifact, for weights that have learned its numbers; none is learned then.
    vocabulary_uri: str | None = None


@dataclass(frozen=True)
class Data:
    """The data set, and the seed of everything random: split, weights, order of rows, calibration sample."""

    name: Annotated[str, Pattern(r"[A-Za-z0-9._-]{1,64}", "1 to 64 letters, digits, '.', '_' or '-'")]
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    format: Format = "Builtin"
    task: Literal["Classification", "Regression", "TokenClassification"] = "Classification"
    #: One URI to be split 70/15/15, or given splits.
    uri: str | None = None
    splits: Splits | None = None
    unlabelled: str | None = None
    #: Names of columns (of arrays in an npz file, of fields in JSON lines).
    columns: tuple[str, ...] = ()
    label: str = "label"
    groups: tuple[str, ...] = ()
    #: Names of the classes, if a label that is none of them is to be refused.
    classes: tuple[str, ...] = ()
    cleaning: Cleaning = field(default_factory=Cleaning)
    normalization: Literal["Off", "Standard", "MinMax"] = "Off"
    augmentation: Augmentation = field(default_factory=Augmentation)
    image: Image = field(default_factory=Image)
    text: Text = field(default_factory=Text)
    max_bytes: Annotated[int, Range(1, 2**50), "largest size of the data, packed and unpacked"] = 8 * 2**30

    @property
    def kind(self) -> Task:
        """The task, as the type that a data set has it in."""
        return Task(self.task)

    @property
    def uris(self) -> dict[str, str]:
        """Name of a split (or `all`, `unlabelled` or `vocabulary`) -> URI."""
        given = {"all": self.uri, "unlabelled": self.unlabelled, VOCABULARY: self.text.vocabulary_uri}
        if self.splits is not None:
            given |= {"train": self.splits.train, "validation": self.splits.validation, "test": self.splits.test}
        return {name: uri for name, uri in given.items() if uri is not None}


#: Keys that only mean something for some formats: whoever sets one elsewhere believes in something that won't happen.
_TABLES = {"Csv", "Parquet"}
_ONLY = {
    "columns": {*_TABLES, "Arrays", "JsonLines"},
    "label": {*_TABLES, "Arrays", "JsonLines"},
    "groups": {*_TABLES, "Arrays", "JsonLines"},
    "image": {"Images"},
    "text": {"JsonLines"},
}
_FROM_FILES = ("task", "uri", "splits", "unlabelled", "classes", "cleaning", "max_bytes")
_TASKS = {
    "Images": ("Classification",),
    "JsonLines": ("Classification", "TokenClassification"),
    "Arrays": ("Classification", "Regression", "TokenClassification"),
}


def check(data: Data, *, builtin: tuple[str, ...], where: str = "spec.data") -> None:
    """Refuse what can't work, or what would have no effect."""
    plain = Data(name=data.name)
    changed = {entry.name for entry in fields(Data) if getattr(data, entry.name) != getattr(plain, entry.name)}
    if data.format == "Builtin":
        if data.name not in builtin:
            raise BadSpec(f"{where}.name is {data.name!r}; {suggest(data.name, builtin)} (own data need a format)")
        for name in (*_FROM_FILES, *_ONLY):
            if name in changed:
                raise BadSpec(f"{where}.{camel(name)} has no effect on the built-in {data.name!r}: remove it")
        return
    for name, formats in _ONLY.items():
        if name in changed and data.format not in formats:
            raise BadSpec(f"{where}.{camel(name)} has no effect on the format {data.format}: remove it")
    if (data.uri is None) == (data.splits is None):
        raise BadSpec(f"{where} needs exactly one of 'uri' (to be split) and 'splits' (given ones)")
    allowed = _TASKS.get(data.format, ("Classification", "Regression"))
    if data.task not in allowed:
        raise BadSpec(f"{where}.task is {data.task}; the format {data.format} allows: {', '.join(allowed)}")
    if data.task == "Regression" and data.classes:
        raise BadSpec(f"{where}.classes has no effect on a regression: remove it")
    if data.text.vocabulary_uri is not None and data.text.vocabulary != Text.vocabulary:
        raise BadSpec(f"{where}.text.vocabulary has no effect on a vocabulary that is given: remove it")
    if data.normalization != "Off" and data.format == "JsonLines":
        raise BadSpec(f"{where}.normalization has no effect on texts: remove it")
    if (data.augmentation.flip or data.augmentation.shift) and data.format not in ("Images", "Arrays"):
        raise BadSpec(f"{where}.augmentation: flip and shift need images, and {data.format} has none: remove them")
    for role, names in (("columns", data.columns), ("groups", data.groups)):
        if data.label in names:
            raise BadSpec(f"{where}.{role} names the label {data.label!r}: a model must not see its answer, remove it")
