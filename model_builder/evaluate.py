"""Measures the float and the final graph on the test split, in one process and on the same rows."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import graph
from model_builder.data.base import Split
from model_builder.metrics import SOURCE_SUFFIX, Metric

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]
    from numpy.typing import NDArray

_ROUNDS, _CALLS = 5, 60


def measure(*, source: Path, final: Path, test: Split) -> dict[str, Metric]:
    """Every metric of `metrics.METRICS`, for the final graph and (`.source`) for the float one."""
    graphs = {"": final, SOURCE_SUFFIX: source}
    sessions = {suffix: graph.open_session(path) for suffix, path in graphs.items()}
    classes = {suffix: graph.predict(session, test.rows).argmax(axis=1) for suffix, session in sessions.items()}
    rows = len(test.labels)
    metrics: dict[str, Metric] = {}
    for suffix, predicted in classes.items():
        metrics[f"accuracy{suffix}"] = Metric(_rounded((predicted == test.labels).mean()), rows)
        metrics[f"worstClassRecall{suffix}"] = Metric(_rounded(_worst_recall(predicted, test.labels)), rows)
        metrics[f"sizeBytes{suffix}"] = Metric(graphs[suffix].stat().st_size)
    metrics["agreement"] = Metric(_rounded((classes[""] == classes[SOURCE_SUFFIX]).mean()), rows)
    for suffix, milliseconds in _latencies(sessions, test.rows[:1]).items():
        metrics[f"latencyP50Ms{suffix}"] = Metric(round(milliseconds, 4))
    return metrics


def _worst_recall(predicted: NDArray[Any], labels: NDArray[Any]) -> float:
    import numpy

    return min(float((predicted[labels == label] == label).mean()) for label in numpy.unique(labels))


def _latencies(sessions: dict[str, onnxruntime.InferenceSession], row: NDArray[Any]) -> dict[str, float]:
    """Turn about, so that a busy moment of the machine meets all of them: the median of the rounds' medians."""
    medians: dict[str, list[float]] = {suffix: [] for suffix in sessions}
    for _ in range(_ROUNDS):
        for suffix, session in sessions.items():
            times = []
            for _ in range(_CALLS):
                started = time.perf_counter()
                graph.predict(session, row)
                times.append(time.perf_counter() - started)
            medians[suffix].append(statistics.median(times))
    return {suffix: statistics.median(values) * 1000 for suffix, values in medians.items()}


def _rounded(value: float) -> float:
    return round(float(value), 6)
