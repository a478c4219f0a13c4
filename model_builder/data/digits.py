"""The 1797 handwritten digits that come with scikit-learn: 8x8 pixels, values 0 to 16."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from model_builder.errors import BadData

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model_builder.data.base import Dataset

HELD_OUT = 0.15


def load(seed: int) -> Dataset:
    """Split 70/15/15, every class alike, by the seed."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

    from model_builder.data.base import Dataset, Split, Task

    bunch = load_digits()
    rows, labels = bunch.images.astype("float32"), bunch.target.astype("int64")
    held_out = round(len(rows) * HELD_OUT)
    rest, test_rows, rest_labels, test_labels = train_test_split(
        rows, labels, test_size=held_out, random_state=seed, stratify=labels
    )
    train_rows, validation_rows, train_labels, validation_labels = train_test_split(
        rest, rest_labels, test_size=held_out, random_state=seed, stratify=rest_labels
    )
    dataset = Dataset(
        name="digits",
        digest=_digest(rows, labels),
        task=Task.CLASSIFICATION,
        classes=tuple(str(digit) for digit in range(10)),
        train=Split(train_rows, train_labels),
        validation=Split(validation_rows, validation_labels),
        test=Split(test_rows, test_labels),
        extremes=_extremes(rows),
    )
    _check(dataset)
    return dataset


def _extremes(rows: NDArray[Any]) -> NDArray[Any]:
    import numpy

    single = numpy.zeros((8, 8), dtype="float32")
    single[4, 4] = 16
    return numpy.stack([numpy.zeros_like(single), numpy.full_like(single, 16), single, rows.min(axis=0)])


def _digest(rows: NDArray[Any], labels: NDArray[Any]) -> str:
    return "sha256:" + hashlib.sha256(rows.tobytes() + labels.tobytes()).hexdigest()


def _check(dataset: Dataset) -> None:
    import numpy

    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        if not numpy.isfinite(split.rows).all() or len(numpy.unique(split.labels)) != dataset.num_classes:
            raise BadData(
                f"the {name} split of 'digits' has missing classes or values that are no numbers: "
                "the installed scikit-learn is damaged, reinstall it"
            )
