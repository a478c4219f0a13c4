"""Plays the grid: every cell, every rule, in chunks, on as many processes as there are cores."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.decisions import counters, ours, rules
from benchmarks.decisions.cells import Cell, Plan
from benchmarks.decisions.summary import Part, part, summarize
from benchmarks.decisions.traffic import drawn

SEED = 100_000  # nothing was tuned on seeds from here on
CHUNK = 200  # replications at a time: bounded memory

Results = dict[str, dict[str, Any]]


def play(
    cells: Iterable[Cell], *, share: float, workers: int, told: Callable[[str], None]
) -> Iterator[tuple[Cell, Any]]:
    """Yield each cell with the summaries of all rules, as JSON; `share` is how much of a full run is made."""
    wanted = {cell.name + cell.group: cell for cell in cells}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {}
        for key, cell in wanted.items():
            runs = max(CHUNK, round(share * cell.runs))
            for number, first in enumerate(range(0, runs, CHUNK)):
                jobs[pool.submit(chunk, cell, number=number, runs=min(CHUNK, runs - first))] = key
        parts: dict[str, list[dict[str, Part]]] = {key: [] for key in wanted}
        left = {key: sum(one == key for one in jobs.values()) for key in wanted}
        for done, job in enumerate(as_completed(jobs), start=1):
            key = jobs[job]
            parts[key].append(job.result())
            left[key] -= 1
            told(f"{done} of {len(jobs)} chunks, last: {wanted[key].name}")
            if not left[key]:
                found = parts.pop(key)
                yield wanted[key], {rule: summarize([one[rule] for one in found]).to_json() for rule in found[0]}


def chunk(cell: Cell, *, number: int, runs: int) -> dict[str, Part]:
    """Return what every rule comes to on one chunk of a cell's replications."""
    seed = SEED + zlib.crc32(f"{cell.group}/{cell.name}".encode()) % SEED + number * 2 * SEED
    if cell.plan is Plan.COUNTERS:
        return {rules.OURS: counters.play(cell, runs=runs, seed=seed)}
    full, traffic = drawn(cell.scenario, seed=seed, replications=runs)
    outcomes, onset, spoilt = ours.run(cell, full, traffic, seed=seed + 1)
    found = {rules.OURS: part(outcomes, traffic=replace(traffic, harm=spoilt), onset=onset)}
    if cell.peers:
        for name, rule in rules.peers(cell, seed=seed + 1).items():
            found[name] = part(rule(traffic), traffic=traffic, onset=onset)
    return found


def load(path: Path) -> Results:
    """Return the results of earlier runs."""
    return json.loads(path.read_text()) if path.exists() else {}


def keep(path: Path, cell: Cell, found: dict[str, Any]) -> None:
    """Add a cell's results to the file, so that an interrupted run goes on."""
    results = load(path)
    results[f"{cell.group}: {cell.name}"] = {"group": str(cell.group), "name": cell.name, "rules": found}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
