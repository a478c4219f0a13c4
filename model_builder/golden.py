"""Golden requests: raw inputs in the form of Triton's own JSON, with the answers the model gave when it was built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import graph
from model_builder.contract import Tensor, canonical_json
from model_builder.data.base import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Sizes of the requests: single rows, and one batch.
_SIZES = (1, 1, 1, 1, 4)


def render(*, model: Path, data: Dataset, tolerance: float) -> str:
    """The text of golden.json; `absoluteTolerance` is what another machine's arithmetic may change."""
    session = graph.open_session(model)
    # The first output is the model's answer; names of classes say nothing that it does not.
    (source,), (answer, *_), batchable = graph.interface(model)
    requests, start = [], 0
    for size in _SIZES if batchable else ():
        rows = data.test.rows[start : start + size]
        start += size
        outputs = [_tensor(answer, graph.predict(session, rows))]
        requests.append({"request": {"inputs": [_tensor(source, rows)]}, "response": {"outputs": outputs}})
    return canonical_json({"schemaVersion": 1, "absoluteTolerance": tolerance, "requests": requests})


def _tensor(tensor: Tensor, values: NDArray[Any]) -> dict[str, Any]:
    # A server refuses 5.0 where it wants a whole number.
    flat = [float(f"{value:.9g}") if isinstance(value, float) else value for value in values.ravel().tolist()]
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(values.shape), "data": flat}
