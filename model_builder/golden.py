"""Golden requests: raw inputs in the form of Triton's own JSON, with the answers the model gave when it was built."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from model_builder import graph
from model_builder.contract import Tensor, canonical_json
from model_builder.data.base import Dataset, Split, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Requests of a single row, then batches. The least rows check the answers; more of them tell which of two versions
#: answers better, as long as they are small: all are asked once a minute.
_SINGLES, _BATCH, _LEAST_ROWS, _MOST_ROWS, _MOST_VALUES = 4, 4, 8, 100, 20_000


def render(*, model: Path, data: Dataset, tolerance: float) -> str:
    """The text of golden.json; `absoluteTolerance` is what another machine's arithmetic may change."""
    session = graph.open_session(model)
    # The first output is the model's answer; names of classes say nothing that it does not.
    (source,), (answer, *_), batchable = graph.interface(model)
    requests: list[dict[str, Any]] = []
    kind: str | None = None
    for part in _parts(data.test) if batchable else ():
        rows, labels = data.test.rows[part], data.test.labels[part]
        answers = graph.predict(session, rows)
        outputs = [_tensor(answer, answers)]
        requests.append({"request": {"inputs": [_tensor(source, rows)]}, "response": {"outputs": outputs}})
        if (kind := _kind(data.task, labels, answers)) is not None:
            requests[-1]["labels"] = labels.ravel().tolist()
    told: dict[str, Any] = {"schemaVersion": 1, "absoluteTolerance": tolerance, "requests": requests}
    if kind is not None:
        told["labels"] = {"kind": kind, "split": _fingerprint(data.test)}
    return canonical_json(told)


def _parts(test: Split) -> Iterator[slice]:
    """The rows of each request."""
    values = max(1, math.prod(test.rows.shape[1:]))
    most = min(len(test.rows), max(_LEAST_ROWS, min(_MOST_ROWS, _MOST_VALUES // values)))
    start = 0
    while start < most:
        stop = min(most, start + (1 if start < _SINGLES else _BATCH))
        yield slice(start, stop)
        start = stop


def _kind(task: Task, labels: NDArray[Any], answers: NDArray[Any]) -> str | None:
    """What the labels are of these answers: their largest score, or their value; None where they do not fit."""
    if task is Task.REGRESSION:
        return "value" if labels.size == answers.size else None
    return "class" if labels.shape == answers.shape[:-1] and answers.shape[-1] > 1 else None


def _fingerprint(test: Split) -> str:
    """Equal for equal test rows: a version may know what is another one's test row from its training."""
    digest = hashlib.sha256()
    for part in (test.rows, test.labels):
        digest.update(numpy.ascontiguousarray(part).data)
    return digest.hexdigest()[:32]


def _tensor(tensor: Tensor, values: NDArray[Any]) -> dict[str, Any]:
    # A server refuses 5.0 where it wants a whole number.
    flat = [float(f"{value:.9g}") if isinstance(value, float) else value for value in values.ravel().tolist()]
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(values.shape), "data": flat}
