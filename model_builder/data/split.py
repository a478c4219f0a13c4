"""Splits, and the check that no row of one stands in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model_builder.data.base import Task
from model_builder.data.records import Records, exact_keys, near_keys
from model_builder.errors import BadData

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELD_OUT = 0.15
_NEARER_TO_TRAINING = ("test", "validation", "train", "unlabelled")


def stratified(labels: NDArray[Any], *, seed: int, parts: int, stratify: bool) -> list[NDArray[Any]]:
    """Indices of the training rows and of `parts` held-out parts of 15 % each, every class alike."""
    import numpy
    from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

    rest, held_out = numpy.arange(len(labels)), []
    size = round(len(labels) * HELD_OUT)
    for _ in range(parts):
        classes = labels[rest] if stratify else None
        rest, part = train_test_split(rest, test_size=size, random_state=seed, stratify=classes)
        held_out.append(part)
    return [rest, *held_out]


def divide(records: Records, *, seed: int, task: Task, parts: tuple[str, ...], where: str) -> dict[str, Records]:
    """Training and held-out parts. Copies of a row follow it into its part, so that none leaks into another."""
    import numpy

    assert records.labels is not None
    families = _families(records.rows)
    heads = numpy.array([family[0] for family in families])
    labels = records.labels[heads]
    if task is Task.CLASSIFICATION:
        _check_counts(labels, parts=parts, where=where)
    if len(heads) < 10:
        raise BadData(f"{where} has {len(heads)} different rows, which is too few to be split: give 10 or more")
    chosen = stratified(labels, seed=seed, parts=len(parts), stratify=task is Task.CLASSIFICATION)
    divided = {}
    for name, part in zip(("train", *parts), chosen, strict=True):
        members = [row for index in part.tolist() for row in families[index]]
        divided[name] = records.take(numpy.array(members, dtype="int64"))
    return divided


def _check_counts(labels: NDArray[Any], *, parts: tuple[str, ...], where: str) -> None:
    import numpy

    names, counts = numpy.unique(labels, return_counts=True)
    held_out = round(len(labels) * HELD_OUT)
    for name, count in zip(names, counts, strict=True):
        if count < 4 * len(parts):
            raise BadData(
                f"{where} has {count} different rows of the class {str(name)!r}, which is too few to be split: "
                f"give {4 * len(parts)} or more, or give splits"
            )
    if held_out < len(names):
        raise BadData(f"{where} has {len(labels)} different rows for {len(names)} classes: give more, or give splits")


def _families(rows: NDArray[Any]) -> list[list[int]]:
    """Rows that are the same, exactly or but for rounding, as lists of indices; the first of each is its head."""
    families: list[list[int]] = []
    member: dict[bytes, int] = {}
    for index, keys in enumerate(_keys(rows, like=rows)):
        family = next((member[key] for key in keys if key in member), None)
        if family is None:
            family = len(families)
            families.append([])
        families[family].append(index)
        member.update(dict.fromkeys(keys, family))
    return families


def _keys(rows: NDArray[Any], *, like: NDArray[Any]) -> list[tuple[bytes, ...]]:
    import numpy

    if rows.dtype.kind != "f":
        return [(key,) for key in exact_keys(rows)]
    with numpy.errstate(invalid="ignore"):
        spread = numpy.nan_to_num(numpy.nanstd(like, axis=0, dtype="float64"))
    return [tuple(pair) for pair in near_keys(rows, spread=spread)]


def overlap(parts: Mapping[str, Records]) -> list[tuple[str, int, str, int]]:
    """Every row of a part that stands in a held-out one as well: (part, index, held-out part, index there)."""
    found = []
    like = parts["train"].rows
    held_out: list[tuple[str, dict[bytes, int]]] = []
    for name in (name for name in _NEARER_TO_TRAINING if name in parts):
        keys = _keys(parts[name].rows, like=like)
        for index, row_keys in enumerate(keys):
            for other, known in held_out:
                hit = next((known[key] for key in row_keys if key in known), None)
                if hit is not None:
                    found.append((name, index, other, hit))
                    break
        if name in ("test", "validation"):
            held_out.append((name, {key: index for index, row_keys in enumerate(keys) for key in row_keys}))
    return found


def without_overlap(parts: dict[str, Records], *, drop: bool) -> tuple[dict[str, Records], list[str]]:
    """Refuse rows of a held-out part that stand elsewhere, or drop them there: what is held out stays whole."""
    import numpy

    notes = []
    found = overlap(parts)
    if found and not drop:
        name, index, other, hit = min(found, key=lambda leak: tuple(parts[leak[0]].places[leak[1]]))
        raise BadData(
            f"{len(found)} rows stand in two parts: {parts[name].place(index)} ({name}) is {parts[other].place(hit)} "
            f"({other}), so that {other} would measure what was learned by heart: remove them, or set "
            "data.cleaning.overlap to Drop"
        )
    for name in {name: None for name, *_ in found}:
        gone = {index for part, index, _, _ in found if part == name}
        kept = numpy.array([index for index in range(len(parts[name])) if index not in gone], dtype="int64")
        parts = {**parts, name: parts[name].take(kept)}
        notes.append(f"{len(gone)} rows were dropped from {name!r} because a held-out split has them")
    return parts, notes
