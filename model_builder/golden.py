"""Golden requests: raw inputs in the form of Triton's own JSON, with the answers the model gave when it was built."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
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
_FLOATS = ("FP16", "BF16", "FP32", "FP64")


def render(*, model: Path, data: Dataset, tolerance: float) -> str:
    """The text of golden.json; `absoluteTolerance` is what another machine's arithmetic may change."""
    session = graph.open_session(model)
    (source,), outputs, batchable = graph.interface(model)
    requests: list[dict[str, Any]] = []
    kind: str | None = None
    for part in _parts(data.test) if batchable else ():
        rows, labels = data.test.rows[part], data.test.labels[part]
        answers = graph.answers(session, rows)
        expected = _expected(outputs, answers, tolerance=tolerance)
        requests.append({"request": {"inputs": [_tensor(source, rows)]}, "response": {"outputs": expected}})
        if (kind := _kind(data.task, labels, answers[0])) is not None:
            requests[-1]["labels"] = labels.ravel().tolist()
    told: dict[str, Any] = {"schemaVersion": 1, "absoluteTolerance": tolerance, "requests": requests}
    if kind is not None:
        told["labels"] = {"kind": kind, "split": _fingerprint(data.test)}
    return canonical_json(told)


def _expected(outputs: Sequence[Tensor], answers: Sequence[NDArray[Any]], *, tolerance: float) -> list[dict[str, Any]]:
    """All outputs; but for those that may rightly be others elsewhere.

    What is no floating-point number has no tolerance, and is chosen by the scores of the first output. Where the two
    largest are as near as twice the tolerance, another machine may choose the other one.
    """
    scores = numpy.sort(answers[0].astype(numpy.float64), axis=-1) if answers[0].dtype.kind == "f" else None
    near = scores is not None and scores.shape[-1] > 1 and (scores[..., -1] - scores[..., -2]).min() <= 2 * tolerance
    stated = (n == 0 or tensor.datatype in _FLOATS or not near for n, tensor in enumerate(outputs))
    return [_tensor(*each) for each, told in zip(zip(outputs, answers, strict=True), stated, strict=True) if told]


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
