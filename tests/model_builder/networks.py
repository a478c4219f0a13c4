"""Small data and contexts for the tests of passes on networks."""

from pathlib import Path

import numpy
from numpy.typing import NDArray

from model_builder.cache import Cache
from model_builder.data.base import Dataset, Split, Task
from model_builder.passes.base import Context
from model_builder.progress import SilentReporter


def dataset(
    *, shape: tuple[int, ...] = (6,), rows: int = 96, task: Task = Task.CLASSIFICATION, unlabelled: int = 0
) -> Dataset:
    """Rows of noise; the label is in their first value."""
    chance = numpy.random.default_rng(0)

    def split(count: int) -> Split:
        made = chance.normal(size=(count, *shape)).astype("float32")
        first = made.reshape(count, -1)[:, 0]
        regression = task is Task.REGRESSION
        labels: NDArray[numpy.generic] = 3 * first if regression else (first > 0).astype("int64")
        return Split(rows=made, labels=labels)

    train, validation, test = split(rows), split(64), split(64)
    return Dataset(
        name="made-up",
        digest="0",
        task=task,
        classes=() if task is Task.REGRESSION else ("low", "high"),
        train=train,
        validation=validation,
        test=test,
        extremes=train.rows[:2],
        unlabelled=split(unlabelled).rows if unlabelled else None,
    )


def context(folder: Path, data: Dataset, *, reporter: SilentReporter | None = None) -> Context:
    """As the pipeline makes it; the same folder again is the same step after an interruption."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    return Context(
        data=data,
        seed=0,
        reporter=reporter or SilentReporter(),
        workspace=folder,
        cache=Cache.open(folder / "cache", tell=lambda _: None),
        checkpoints=folder / "checkpoints",
    )
