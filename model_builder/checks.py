"""What every model must hold, whatever its gates say: parity after export, finite answers, rows that do not mix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import graph
from model_builder.data.base import Dataset
from model_builder.errors import GateFailed
from model_builder.export import served_network

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

PARITY_TOLERANCE = 1e-4
#: Differences show in a few rows as well as in many; what all test rows say is in the metrics.
_ROWS, _BATCH = 64, 32


def run(*, network: nn.Module, source: Path, final: Path, data: Dataset, tolerance: float) -> dict[str, float]:
    """Run all checks; return the largest differences seen."""
    import numpy

    rows = data.test.rows[:_ROWS]
    float_session, session = graph.open_session(source), graph.open_session(final)
    parity = _difference(_torch_answers(network, rows), graph.predict(float_session, rows))
    if not parity <= PARITY_TOLERANCE:
        raise GateFailed(
            f"the exported graph differs from the network by {parity:.2g} on test rows (allowed: "
            f"{PARITY_TOLERANCE:g}): an operator of the network is exported wrongly, replace it"
        )
    for name, inputs in (("test rows", rows), ("inputs at the edge of the range", data.extremes)):
        if not numpy.isfinite(graph.predict(session, inputs)).all():
            raise GateFailed(f"the final model answers {name} with NaN or infinite numbers: look at its last pass")
    batch = rows[:_BATCH]
    alone = numpy.concatenate([graph.predict(session, batch[i : i + 1]) for i in range(len(batch))])
    variance = _difference(alone, graph.predict(session, batch))
    if not variance <= tolerance:
        raise GateFailed(
            f"a row alone and the same row in a batch differ by {variance:.2g} (allowed: {tolerance:g}): the network "
            "mixes rows, which a server that batches several clients must not do"
        )
    return {"parityMaxDifference": parity, "batchMaxDifference": variance}


def _torch_answers(network: nn.Module, rows: NDArray[Any]) -> NDArray[Any]:
    import torch

    with torch.inference_mode():
        answers: NDArray[Any] = served_network(network)(torch.from_numpy(rows)).numpy()
    return answers


def _difference(left: NDArray[Any], right: NDArray[Any]) -> float:
    import numpy

    return float(numpy.abs(left - right).max())
