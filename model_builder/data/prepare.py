"""From records to a data set: gaps, classes, splits, normalisation, in this order and each told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from model_builder.data import split
from model_builder.data.base import IGNORED_LABEL, SPLITS, Dataset, Normalization, Split, Task
from model_builder.data.parameters import Data
from model_builder.data.records import Records, digest_of
from model_builder.data.text import Tokens
from model_builder.decode import suggest
from model_builder.errors import BadData

if TYPE_CHECKING:
    from numpy.typing import NDArray


def prepare(parts: Mapping[str, Records], *, data: Data, known: Tokens | None = None) -> Dataset:
    """The data set of what was read: `all`, or `train`, `test` and perhaps `validation`; and perhaps `unlabelled`.

    Args:
        parts: name -> rows.
        data: what the spec says of them.
        known: the vocabulary of texts; without it that of the training split is learned.
    """
    task = data.kind
    digest = digest_of(parts, vocabulary=known.vocabulary if known else ())
    cleaned, notes = _without_gaps(parts, data=data)
    pool = cleaned.pop("unlabelled", None)
    classes = _classes(cleaned, data=data, task=task)
    splits = _split(cleaned, data=data, task=task)
    everything = {**splits, **({"unlabelled": pool} if pool is not None else {})}
    _check_shapes(everything)
    everything, told = split.without_overlap(everything, drop=data.cleaning.overlap == "Drop")
    notes += told
    pool = everything.pop("unlabelled", None)
    splits = everything
    splits, pool, told = _filled(splits, pool)
    notes += told
    tokens = known
    if tokens is None and data.format == "JsonLines":
        tokens = Tokens.learn(splits["train"].rows, parameters=data.text)
    numbered = {name: _numbered(splits[name], classes=classes, task=task, tokens=tokens) for name in SPLITS}
    _check_classes(numbered, classes=classes, task=task, name=data.name)
    train = numbered["train"].rows
    return Dataset(
        name=data.name,
        digest=digest,
        task=task,
        classes=classes,
        train=numbered["train"],
        validation=numbered["validation"],
        test=numbered["test"],
        extremes=extremes(train, vocabulary=len(tokens.vocabulary) if tokens else 0),
        unlabelled=None if pool is None else tokens.encode(list(pool.rows)) if tokens else pool.rows,
        normalization=normalization(train, kind=data.normalization),
        augmentation=data.augmentation,
        columns=splits["train"].columns,
        vocabulary=tokens.vocabulary if tokens else (),
        texts=tuple(text for part in splits.values() for text in part.texts),
        notes=tuple(notes),
    )


def _without_gaps(parts: Mapping[str, Records], *, data: Data) -> tuple[dict[str, Records], list[str]]:
    """Refuse gaps or drop their rows; filling waits until there is a training split to learn from."""
    import numpy

    cleaned, notes = dict(parts), []
    for name, records in parts.items():
        if records.rows.dtype.kind != "f":
            continue
        gaps = numpy.isnan(records.rows).reshape(len(records), -1)
        count = int(gaps.any(axis=1).sum())
        if count and data.cleaning.missing == "Fail":
            row = records.first(numpy.flatnonzero(gaps.any(axis=1)))
            column = int(gaps[row].argmax())
            title = f"column {records.columns[column]!r}" if records.columns else f"position {column}"
            raise BadData(
                f"{records.place(row)}, {title} is empty or NaN ({count} rows have gaps): fill it, or set "
                "data.cleaning.missing to Drop or Median"
            )
        if count and data.cleaning.missing == "Drop":
            cleaned[name] = records.take(numpy.flatnonzero(~gaps.any(axis=1)))
            notes.append(f"{count} of {len(records)} rows of {name!r} were dropped because they have gaps")
            if not len(cleaned[name]):
                raise BadData(f"every row of {records.files[0]} has a gap: fill them, or set missing to Median")
    return cleaned, notes


def _split(parts: dict[str, Records], *, data: Data, task: Task) -> dict[str, Records]:
    if "all" in parts:
        where = parts["all"].files[0]
        return split.divide(parts["all"], seed=data.seed, task=task, parts=("test", "validation"), where=where)
    if "validation" in parts:
        return parts
    where = parts["train"].files[0]
    divided = split.divide(parts["train"], seed=data.seed, task=task, parts=("validation",), where=where)
    return {**divided, "test": parts["test"]}


def _filled(splits: dict[str, Records], pool: Records | None) -> tuple[dict[str, Records], Records | None, list[str]]:
    """Gaps become the median of the training rows."""
    import numpy

    every = {**splits, **({"unlabelled": pool} if pool is not None else {})}
    if splits["train"].rows.dtype.kind != "f" or not any(numpy.isnan(part.rows).any() for part in every.values()):
        return splits, pool, []
    train = splits["train"]
    empty = numpy.isnan(train.rows).all(axis=0)
    if empty.any():
        column = int(empty.ravel().argmax())
        title = train.columns[column] if train.columns else f"position {column}"
        raise BadData(f"the column {title!r} is empty in all training rows: leave it out of data.columns")
    median = numpy.nanmedian(train.rows, axis=0).astype("float32")
    notes = []
    for name, part in every.items():
        gaps = numpy.isnan(part.rows)
        if gaps.any():
            every[name] = replace(part, rows=numpy.where(gaps, median, part.rows))
            notes.append(f"{int(gaps.sum())} gaps of {name!r} were filled with the median of the training rows")
    filled_pool = every.pop("unlabelled", None)
    return every, filled_pool, notes


def _classes(parts: Mapping[str, Records], *, data: Data, task: Task) -> tuple[str, ...]:
    """Names in the order of their numbers: as given, else those of the rows that are to be learned from."""
    if task is Task.REGRESSION:
        return ()
    source = parts.get("all", parts.get("train"))
    assert source is not None
    found = set(_flat(source, task=task))
    known = data.classes or tuple(sorted(found, key=_natural))
    if len(known) < 2:
        raise BadData(
            f"{source.files[0]} has one class only ({', '.join(known) or 'none'}): a classifier needs two or more"
        )
    for records in parts.values():
        for index, label in enumerate(_per_row(records, task=task)):
            strange = next((word for word in label if word not in known), None)
            if strange is not None:
                raise BadData(
                    f"{records.place(index)}: the label {strange!r} is no class of the training rows; "
                    f"{suggest(strange, known)}"
                )
    return known


def _per_row(records: Records, *, task: Task) -> list[tuple[str, ...]]:
    labels = records.labels
    assert labels is not None
    if task is Task.CLASSIFICATION:
        return [(str(label),) for label in labels]
    return [tuple(word for word in row if word != str(IGNORED_LABEL)) for row in labels]


def _flat(records: Records, *, task: Task) -> list[str]:
    return [word for row in _per_row(records, task=task) for word in row]


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() and name.isascii() and len(name) < 19 else (1, 0, name)


def _numbered(records: Records, *, classes: tuple[str, ...], task: Task, tokens: Tokens | None) -> Split:
    import numpy

    numbers = {name: index for index, name in enumerate(classes)} | {str(IGNORED_LABEL): IGNORED_LABEL}
    assert records.labels is not None
    rows = tokens.encode(list(records.rows)) if tokens else records.rows
    if task is Task.REGRESSION:
        labels = records.labels.astype("float32")
    elif task is Task.CLASSIFICATION:
        labels = numpy.array([numbers[str(label)] for label in records.labels], dtype="int64")
    else:
        sequences = [[numbers[word] for word in row] for row in records.labels]
        labels = tokens.encode_labels(sequences) if tokens else numpy.array(sequences, dtype="int64")
    return Split(rows=rows, labels=labels, groups=dict(records.groups))


def _check_shapes(parts: Mapping[str, Records]) -> None:
    train = parts["train"]
    for part in parts.values():
        if part.rows.shape[1:] != train.rows.shape[1:] or part.rows.dtype != train.rows.dtype:
            raise BadData(
                f"{part.files[0]} has rows of shape {part.rows.shape[1:]} and type {part.rows.dtype}, "
                f"{train.files[0]} of {train.rows.shape[1:]} and {train.rows.dtype}: give all parts the same columns"
            )
        if part.columns != train.columns:
            raise BadData(
                f"{part.files[0]} has the columns {', '.join(part.columns)[:200]}, {train.files[0]} has "
                f"{', '.join(train.columns)[:200]}: give all parts the same columns in the same order"
            )


def _check_classes(splits: Mapping[str, Split], *, classes: tuple[str, ...], task: Task, name: str) -> None:
    """Every class must be learned, and seen by a gate."""
    for part, content in splits.items():
        if not len(content.rows):
            raise BadData(f"the {part} split of {name!r} has no rows: give more data")
        for index, label in enumerate(classes):
            if not (content.labels == index).any():
                advice = "give rows of it, or leave it out of data.classes"
                raise BadData(f"the {part} split of {name!r} has no row of the class {label!r}: {advice}")
        if task is Task.REGRESSION and content.labels.min() == content.labels.max():
            raise BadData(f"all targets of the {part} split of {name!r} are {content.labels[0]:g}: nothing to learn")


def normalization(train: NDArray[Any], *, kind: str) -> Normalization | None:
    """Computed on training rows: per column, or per channel where rows are images (channels, height, width)."""
    import numpy

    if kind == "Off":
        return None
    axes = (0,) if train.ndim == 2 else (0, *range(2, train.ndim)) if train.ndim == 4 else tuple(range(train.ndim))
    values = train.astype("float64")
    if kind == "Standard":
        mean, scale = values.mean(axis=axes, keepdims=True)[0], values.std(axis=axes, keepdims=True)[0]
    else:
        mean = values.min(axis=axes, keepdims=True)[0]
        scale = values.max(axis=axes, keepdims=True)[0] - mean
    # A column that never changes says nothing: it becomes zero instead of dividing by zero.
    scale = numpy.where(scale > numpy.finfo("float32").tiny, scale, 1.0)
    return Normalization(mean=mean.astype("float32"), scale=scale.astype("float32"))


def extremes(train: NDArray[Any], *, vocabulary: int = 0) -> NDArray[Any]:
    """Rows at the edge of what may arrive: lowest and highest values, zeros, and one value that stands out."""
    import numpy

    if vocabulary:
        edges = numpy.zeros((3, *train.shape[1:]), dtype=train.dtype)
        edges[1], edges[2] = 1, vocabulary - 1
        return edges
    low, high = train.min(axis=0), train.max(axis=0)
    single = low.copy()
    single.flat[single.size // 2] = high.flat[single.size // 2]
    return numpy.stack([numpy.zeros_like(low), low, high, single]).astype(train.dtype)
