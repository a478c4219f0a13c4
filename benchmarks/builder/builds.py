"""Builds in this process, where what comes out counts, and in one of their own, where time counts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_builder.build import Settings, build
from model_builder.decode import decode
from model_builder.progress import SilentReporter
from model_builder.spec import Spec, resolve

Raw = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where one row with one seed works.

    Attributes:
        folder: empty, and its own.
        cache: of steps, shared by the rows of a run: the same training is done once. Rows that time have their own.
        seed: of split, weights and everything random.
    """

    folder: Path
    cache: Path
    seed: int


@dataclass(frozen=True)
class Built:
    """A finished artifact."""

    directory: Path
    digest: str

    @property
    def manifest(self) -> Mapping[str, Any]:
        """As it was written."""
        read: Mapping[str, Any] = json.loads((self.directory / "manifest.json").read_text())
        return read

    def value(self, metric: str) -> float:
        """A metric of a whole model."""
        return float(self.manifest["metrics"][metric]["value"])

    def step(self, name: str) -> Mapping[str, Any]:
        """What the manifest tells about the last step of that name."""
        found: Mapping[str, Any] = next(step for step in reversed(self.manifest["steps"]) if step["pass"] == name)
        return found


def spec(*recipe: Raw, seed: int, **changes: Any) -> Raw:
    """A build of the digits. Without `gates` those hold that hold for every build."""
    return {
        "model": {"name": "digits", "version": "1"},
        "source": {"uri": "builtin://digits-cnn"},
        "data": {"name": "digits", "seed": seed},
        "recipe": list(recipe),
        **changes,
    }


def built(raw: Raw, *, place: Place, name: str) -> Built:
    """Build in this process.

    Raises:
        BuildError: any of its kinds.
    """
    out = place.folder / name
    plan = resolve(decode(Spec, raw, where="spec"))
    result = build(plan=plan, out=out, reporter=SilentReporter(), settings=Settings(cache=place.cache))
    return Built(directory=out, digest=result["digest"])


@dataclass(frozen=True)
class Ran:
    """A command that came to its end; `result` is its last line."""

    seconds: float
    result: Mapping[str, Any]


def command(*arguments: object) -> Ran:
    """Run the builder's command line in a process of its own, imports and all.

    Raises:
        RuntimeError: it failed; with its last line.
    """
    started = time.perf_counter()
    done = subprocess.run(_line(*arguments), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    last = (done.stdout.splitlines() or [done.stderr])[-1]
    if done.returncode != 0:
        raise RuntimeError(f"{arguments[0]} ended with {done.returncode}: {last}")
    return Ran(seconds=seconds, result=json.loads(last))


def killed(*arguments: object, after: float) -> bool:
    """Start a command and end it without warning after so many seconds; False if it was done before."""
    with subprocess.Popen(_line(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def write_spec(raw: Raw, *, place: Place) -> Path:
    """A spec file for the command line."""
    path = place.folder / "spec.json"
    path.write_text(json.dumps(raw))
    return path


def _line(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "model_builder", *map(str, arguments)]
