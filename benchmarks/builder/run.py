"""Measures row by row and seed by seed, and keeps each result at once: an interrupted run goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
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
        for seed in range(1 if row.once else seeds)
        if str(seed) not in known.get(row.name, {})
    ]
    with tempfile.TemporaryDirectory(prefix="builder-benchmark-") as name, contextlib.ExitStack() as stack:
        pool = _pool(stack)
        for number, (row, seed) in enumerate(jobs, start=1):
            folder = Path(name) / f"{row.name}-{seed}"
            folder.mkdir()
            place = Place(folder=folder, cache=Path(name) / "cache", seed=seed)
            started = time.perf_counter()
            try:
                found = pool.submit(measured, row.name, place).result()
            except BrokenProcessPool:  # a library crashed: that is the result, and the other rows go on
                found = {"error": "the process of the build crashed"}
                pool = _pool(stack)
            found["seconds"] = round(time.perf_counter() - started, 1)
            _keep(path, row=row, seed=seed, found=found)
            told = found.get("error") or ", ".join(f"{key} {value:.4g}" for key, value in found["figures"].items())
            tell(f"{number} of {len(jobs)}: {row.name}, seed {seed}, {found['seconds']:.0f} s: {told}")


def load(path: Path) -> Results:
    """What was measured so far."""
    return json.loads(path.read_text()) if path.exists() else {}


def machine(results: Results) -> str:
    """What measured them, in words."""
    told = results.get(_MACHINE, {})
    if not told:
        return "nothing was measured yet"
    return f"{told['cpu']}, {told['cores']} cores, at a load of at most {told['load']:.1f} (this measurement makes 1)"


def measured(name: str, place: Place) -> dict[str, Any]:
    """Measure one row with one seed, in the process that it is called in."""
    (row,) = (row for row in ROWS if row.name == name)
    try:
        return {"figures": dict(row.measure(place))}
    except (BuildError, RuntimeError) as error:  # a build that fails breaks the promise, and the other rows go on
        return {"error": f"{type(error).__name__}: {error}"}


def _pool(stack: contextlib.ExitStack) -> ProcessPoolExecutor:
    """One process beside this one, all rows in turn: imports are paid once, and a crash takes only it."""
    return stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))


def _keep(path: Path, *, row: Row, seed: int, found: dict[str, Any]) -> None:
    results = load(path)
    results.setdefault(row.name, {})[str(seed)] = found
    busy = max(os.getloadavg()[0], results.get(_MACHINE, {}).get("load", 0.0))
    results[_MACHINE] = {"cpu": _processor(), "cores": os.cpu_count(), "load": round(busy, 2)}
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
