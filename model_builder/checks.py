"""What every model must hold, whatever its gates say: parity after export, finite answers, rows that do not mix.

Each check is a number with a limit of its own, and all of them are in the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import graph
from model_builder.data.base import Dataset, Task
from model_builder.errors import GateFailed
from model_builder.export import served_network
from model_builder.meter import give_back

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]
    from numpy.typing import NDArray
    from torch import nn

PARITY_TOLERANCE = 1e-4
#: Rows whose most probable class may be another one after export: where two classes are equally probable, a last bit
#: decides.
PARITY_DISAGREEMENT = 0.01
#: Mean total variation distance between the answers before and after the passes on the graph. INT8 moves about 0.001 of
#: the probability on the digits, an input that is scaled wrongly 0.02 and more, even where the classes stay the same.
MOST_SHIFT = 0.01
#: Of a graph that was not exported here.
SAME = {"maxDifference": 0.0, "disagreement": 0.0}
_ROWS, _BATCH = 256, 32


@dataclass(frozen=True)
class Check:
    """One number that every model is held to.

    Attributes:
        name: as in the manifest.
        value: what was measured.
        limit: what it may be at most.
        meaning: what a value above the limit says, and what to do about it.
        broken: a value above the limit makes all that is measured of the model worthless. Else it is held like a gate.
    """

    name: str
    value: float
    limit: float
    meaning: str
    broken: bool = True

    @property
    def passed(self) -> bool:
        """False for a value above the limit, and for one that is no number."""
        return self.value <= self.limit

    @property
    def message(self) -> str:
        """The sentence about a value above the limit."""
        return f"{self.meaning} ({self.name} is {self.value:.2g}, allowed is {self.limit:g})"

    def to_json(self) -> dict[str, float]:
        """As it appears in the manifest, which only models that passed have."""
        return {"value": self.value, "limit": self.limit}


def parity(*, network: nn.Module, exported: Path, data: Dataset) -> dict[str, float]:
    """Compare the torch network with the graph that was exported from it, on rows of the test split.

    Returns:
        maxDifference: largest difference of an output, relative to the largest output where that is above 1.
        disagreement: share of answers whose most probable class differs; 0 for a regression.
    """
    import numpy

    rows = data.test.rows[:_ROWS]
    left, right = _torch_answers(network, rows, task=data.task), graph.predict(graph.open_session(exported), rows)
    scale = max(1.0, float(numpy.abs(left).max()))
    return {
        "maxDifference": _difference(left, right) / scale,
        "disagreement": 0.0 if data.task is Task.REGRESSION else float((left.argmax(-1) != right.argmax(-1)).mean()),
    }


def run(*, parity: Mapping[str, float], exported: Path, final: Path, data: Dataset, tolerance: float) -> list[Check]:
    """Run all checks on the graph that is to be served.

    Args:
        parity: what `parity` said of the exported graph.
        exported: that graph, before the passes on the graph.
        final: the graph after the last pass.
        data: its test rows and its extremes are used.
        tolerance: largest difference that the number format explains.
    """
    import numpy

    rows = data.test.rows[:_ROWS]
    # One session at a time, and its memory goes before the next one: large models fit once.
    before, again = _answers(exported, rows), _answers(final, rows)
    session = graph.open_session(final)
    answers = graph.predict(session, rows)
    batch = rows[:_BATCH]
    alone = numpy.concatenate([graph.predict(session, batch[i : i + 1]) for i in range(len(batch))])
    return [
        Check(
            "parityMaxDifference",
            parity["maxDifference"],
            PARITY_TOLERANCE,
            "the exported graph differs from the network: an operator of the network is exported wrongly, replace it",
        ),
        Check(
            "parityDisagreement",
            parity["disagreement"],
            PARITY_DISAGREEMENT,
            "the exported graph names other classes than the network: an operator of the network is exported wrongly, "
            "replace it",
        ),
        Check(
            "outputShift",
            _shift(before, answers, task=data.task),
            MOST_SHIFT,
            "the final model spreads its probabilities otherwise than the exported one, more than a number format "
            "explains: look at what the last passes do to inputs and scales",
            broken=False,
        ),
        Check(
            "notFiniteTestRows",
            _not_finite(answers),
            0.0,
            "the final model answers test rows with NaN or infinite numbers: look at its last pass",
        ),
        Check(
            "notFiniteExtremes",
            _not_finite(_batched(session, data.extremes)),
            0.0,
            "the final model answers inputs at the edge of the range with NaN or infinite numbers: look at its last "
            "pass, and at what its number format can hold",
        ),
        Check(
            "repeatMaxDifference",
            _difference(answers, again),
            0.0,
            "the final model answers the same rows differently the second time: it holds something random, remove it",
        ),
        Check(
            "batchMaxDifference",
            _difference(alone, answers[:_BATCH]),
            tolerance,
            "a row alone and the same row in a batch differ: the network mixes rows, which a server that batches "
            "several clients must not do",
        ),
    ]


def judge(checks: Sequence[Check]) -> None:
    """Fail if the model is broken, with a sentence for each check that says so.

    Raises:
        GateFailed: the model is broken, whatever its gates would say.
    """
    failed = [check.message for check in checks if check.broken and not check.passed]
    if failed:
        raise GateFailed("; ".join(failed))


def as_gates(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return the failed checks that are held like gates, as gates appear in the manifest."""
    failed = (check for check in checks if not check.broken and not check.passed)
    return [{"metric": c.name, "verdict": "Fail", "blocks": True, "message": c.message} for c in failed]


def _answers(model: Path, rows: NDArray[Any]) -> NDArray[Any]:
    """Of a session that is closed again."""
    answers = graph.predict(graph.open_session(model), rows)
    give_back()
    return answers


def _torch_answers(network: nn.Module, rows: NDArray[Any], *, task: Task) -> NDArray[Any]:
    import torch

    with torch.inference_mode():
        answers: NDArray[Any] = served_network(network, task=task)(torch.from_numpy(rows)).numpy()
    return answers


def _batched(session: onnxruntime.InferenceSession, rows: NDArray[Any]) -> NDArray[Any]:
    """All at once and one by one: an extreme row must be safe in company and alone."""
    import numpy

    alone = [graph.predict(session, rows[i : i + 1]) for i in range(len(rows))]
    return numpy.concatenate([graph.predict(session, rows), *alone])


def _shift(before: NDArray[Any], after: NDArray[Any], *, task: Task) -> float:
    """The mean total variation distance of two arrays of distributions, (rows, ..., classes); 0 for a regression."""
    import numpy

    if task is Task.REGRESSION:
        return 0.0
    return float(0.5 * numpy.abs(before - after).sum(axis=-1).mean())


def _not_finite(answers: NDArray[Any]) -> float:
    import numpy

    return float(1.0 - numpy.isfinite(answers).mean())


def _difference(left: NDArray[Any], right: NDArray[Any]) -> float:
    """The largest difference; infinite if an answer is no number, since those are equal to nothing."""
    import numpy

    if left.shape != right.shape or not (numpy.isfinite(left).all() and numpy.isfinite(right).all()):
        return float("inf")
    return float(numpy.abs(left - right).max())
