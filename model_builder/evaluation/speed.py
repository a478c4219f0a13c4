"""What a model costs: time per answer, throughput, time to load, memory, size. All models of one call are compared.

Rounds go turn about over the models, so that a busy moment of the machine meets all of them alike.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from model_builder import graph, graph_file
from model_builder.errors import BadData

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]
    from numpy.typing import NDArray

BATCH = 32
_ROUNDS, _CALLS = 5, 60
#: A round is cut short, so that a slow model does not take minutes.
_ROUND_SECONDS, _FEWEST_CALLS = 0.3, 4
_COLD_SECONDS = 300


def latencies(sessions: Mapping[str, onnxruntime.InferenceSession], rows: NDArray[Any]) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of one call with all these rows, in milliseconds, for each session.

    Each is the median over rounds of the percentile within a round: one disturbed round changes nothing.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sessions}
    for session in sessions.values():
        graph.predict(session, rows)
    for _ in range(_ROUNDS):
        for name, session in sessions.items():
            times = numpy.array(_round(session, rows)) * 1000
            found[name].append((float(numpy.median(times)), float(numpy.percentile(times, 95))))
    return {
        name: {"p50": statistics.median(p for p, _ in pairs), "p95": statistics.median(p for _, p in pairs)}
        for name, pairs in found.items()
    }


def _round(session: onnxruntime.InferenceSession, rows: NDArray[Any]) -> list[float]:
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < _CALLS:
        started = time.perf_counter()
        graph.predict(session, rows)
        ended = time.perf_counter()
        times.append(ended - started)
        if len(times) >= _FEWEST_CALLS and ended - began > _ROUND_SECONDS:
            break
    return times


def cold(model: Path, rows: NDArray[Any]) -> dict[str, float]:
    """Load the model in a new process and answer once.

    Returns:
        milliseconds: from opening the file to the first answer to one row.
        bytes: how far the process grew beyond what its libraries took, with all rows answered in one batch.

    Raises:
        BadData: the process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npy"
        numpy.save(file, rows, allow_pickle=False)
        script = Path(__file__).with_name("cold.py")
        done = subprocess.run(
            [sys.executable, str(script), str(model), str(file)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_COLD_SECONDS,
        )
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[-300:]
        raise BadData(f"the model can't be loaded in a new process ({reason}): look at its last pass")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def times(sessions: Mapping[str, onnxruntime.InferenceSession], rows: NDArray[Any]) -> dict[str, dict[str, float]]:
    """Every cost in time of `metrics.METRICS` that a running model has, by model and name of the metric."""
    batch = _batch(rows)
    alone, together = latencies(sessions, rows[:1]), latencies(sessions, batch)
    return {
        name: {
            "latencyP50Ms": round(alone[name]["p50"], 4),
            "latencyP95Ms": round(alone[name]["p95"], 4),
            "batchLatencyP50Ms": round(together[name]["p50"], 4),
            "batchLatencyP95Ms": round(together[name]["p95"], 4),
            "rowsPerSecond": round(1000 * len(batch) / together[name]["p50"], 1),
        }
        for name in sessions
    }


def loading(model: Path, rows: NDArray[Any]) -> dict[str, float]:
    """What it takes to have a model at all, by name of the metric: size, time to load, memory of its own process."""
    start = cold(model, _batch(rows))
    return {
        "sizeBytes": sum(file.stat().st_size for file in graph_file.files(model)),
        "coldLoadMs": round(start["milliseconds"], 1),
        "peakMemoryBytes": start["bytes"],
    }


def _batch(rows: NDArray[Any]) -> NDArray[Any]:
    chosen: NDArray[Any] = rows[numpy.arange(BATCH) % len(rows)]
    return chosen
