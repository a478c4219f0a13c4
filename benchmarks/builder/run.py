"""Measures row by row and seed by seed, and keeps each result at once: an interrupted run goes on where it was."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.builder.builds import Place
from benchmarks.builder.rows import ROWS, Row
from model_builder.errors import BuildError

#: Row -> seed -> figures or an error, and seconds; under `_MACHINE` what measured it.
Results = dict[str, dict[str, Any]]
_MACHINE = "machine"


def measure(*, rows: Sequence[str] | None, seeds: int, path: Path, tell: Callable[[str], None]) -> None:
    """Measure the named rows, or of all rows what the file lacks.

    Args:
        rows: names; None for all.
        seeds: how many, from 0 on.
        path: file of the results, kept up to date.
        tell: is given a line per measurement.
    """
    known = {} if rows else load(path)
    wanted = [row for row in ROWS if rows is None or row.name in rows]
    for row in wanted:
        why = row.missing()
        if why is not None:
            tell(f"{row.name} is left out: {why}")
    jobs = [
        (row, seed)
        for row in wanted
        if row.missing() is None
        for seed in range(seeds)
        if str(seed) not in known.get(row.name, {})
    ]
    with tempfile.TemporaryDirectory(prefix="builder-benchmark-") as name:
        for number, (row, seed) in enumerate(jobs, start=1):
            folder = Path(name) / f"{row.name}-{seed}"
            folder.mkdir()
            found = _one(row, Place(folder=folder, cache=Path(name) / "cache", seed=seed))
            _keep(path, row=row, seed=seed, found=found)
            told = found.get("error") or ", ".join(f"{key} {value:.4g}" for key, value in found["figures"].items())
            tell(f"{number} of {len(jobs)}: {row.name}, seed {seed}, {found['seconds']:.0f} s: {told}")


def load(path: Path) -> Results:
    """What was measured so far."""
    return json.loads(path.read_text()) if path.exists() else {}


def machine(results: Results) -> str:
    """What measured them, in words."""
    told = results.get(_MACHINE, {})
    return f"{told['cpu']}, {told['cores']} cores" if told else "nothing was measured yet"


def _one(row: Row, place: Place) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        found: dict[str, Any] = {"figures": dict(row.measure(place))}
    except (BuildError, RuntimeError) as error:  # a build that fails breaks the promise, and the other rows go on
        found = {"error": f"{type(error).__name__}: {error}"}
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def _keep(path: Path, *, row: Row, seed: int, found: dict[str, Any]) -> None:
    results = load(path)
    results.setdefault(row.name, {})[str(seed)] = found
    results[_MACHINE] = {"cpu": _processor(), "cores": os.cpu_count()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.replace(path)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
