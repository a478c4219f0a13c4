"""How much memory a build of a large model takes, phase by phase: `python -m benchmarks.builder_memory`.

The model is a network of Linear layers with random weights. The memory is what is resident of the build and of all
processes that it starts, added up every hundredth of a second.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

#: Rows of a weight; a layer of WIDTH by WIDTH in FP32 is 16 MiB.
WIDTH = 2048
#: What a build may take: so many times the source, and this for the libraries.
FACTOR, LIBRARIES = 4, 2**30
_MIB = 2**20
_SAMPLE_SECONDS = 0.01
_CODE = """
from torch import nn


def make(*, width: int, layers: int) -> nn.Module:
    hidden = [part for _ in range(layers) for part in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), *hidden, nn.Linear(width, 4))
"""
RECIPES: Mapping[str, list[dict[str, Any]]] = {
    "plain": [],
    "quantize": [{"pass": "quantize", "parameters": {"calibrationRows": 16}}],
    "float16": [{"pass": "float16"}],
}


def limit(source: int) -> int:
    """Bytes that a build may take for a source of this size."""
    return FACTOR * source + LIBRARIES


def write_inputs(folder: Path, *, layers: int) -> int:
    """Write network, weights and data; return the bytes of the weights."""
    import numpy
    from safetensors.numpy import save_file

    chance = numpy.random.default_rng(0)
    sizes = [8, *[WIDTH] * (layers + 1), 4]
    source = folder / "source"
    source.mkdir()
    (source / "net.py").write_text(_CODE)
    state: dict[str, numpy.ndarray] = {}
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        weight = chance.standard_normal((outputs, inputs), dtype="float32") * numpy.float32((2 / inputs) ** 0.5)
        state |= {f"{2 * index}.weight": weight, f"{2 * index}.bias": numpy.zeros(outputs, dtype="float32")}
    # Small answers: INT8 moves those of a network that nobody trained further than its check lets through.
    state[f"{2 * index}.weight"] *= numpy.float32(0.1)
    save_file(state, source / "model.safetensors")
    rows = chance.standard_normal((160, 8), dtype="float32")
    numpy.savez(folder / "data.npz", rows=rows, label=numpy.arange(160) % 4)
    return (source / "model.safetensors").stat().st_size


def spec(folder: Path, *, layers: int, recipe: str) -> dict[str, Any]:
    """A build of that network with audits; nothing is demanded of random weights."""
    code = {"factory": "net:make", "path": "net.py", "parameters": {"width": WIDTH, "layers": layers}}
    return {
        "model": {"name": "large", "version": "1"},
        "source": {"uri": (folder / "source").as_uri(), "code": code},
        "data": {"name": "made-up", "format": "Arrays", "uri": (folder / "data.npz").as_uri(), "seed": 0},
        "recipe": RECIPES[recipe],
        "gates": [],
        "audit": [{"audit": "robustness", "parameters": {}}],
    }


def measure(document: Mapping[str, Any], *, folder: Path) -> dict[str, int]:
    """Run a build and return the highest memory of each phase in bytes; `""` is the time before the first one."""
    (folder / "spec.json").write_text(json.dumps(document))
    arguments = ["build", "--spec", "spec.json", "--out", "out", "--cache", "cache"]
    command = [sys.executable, "-m", "model_builder", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    peaks: dict[str, int] = {}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        phase = [""]
        reader = threading.Thread(target=_follow, args=(process.stdout, phase), daemon=True)
        reader.start()
        while process.poll() is None:
            used = sum(_resident(each) for each in _tree(process.pid))
            peaks[phase[0]] = max(peaks.get(phase[0], 0), used)
            reader.join(_SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"the build failed with exit code {process.returncode}: {phase[-1]}")
    return peaks


def _follow(stream: IO[str], phase: list[str]) -> None:
    """Keep the current phase; after the end, the last line."""
    line = ""
    for line in stream:
        entry = json.loads(line)
        phase[0] = entry.get("phase", phase[0])
    phase.append(line)


def _tree(root: int) -> Iterator[int]:
    yield root
    try:
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _tree(int(child))


def _resident(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def main(arguments: Sequence[str]) -> int:
    """Measure all recipes; 1 if one of them takes more than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.builder_memory", description=__doc__)
    parser.add_argument("recipes", nargs="*", default=[], metavar="RECIPE", help=", ".join(RECIPES))
    parser.add_argument("--layers", type=int, default=24, help="of 16 MiB each (24)")
    options = parser.parse_args(arguments)
    above = False
    for recipe in options.recipes or RECIPES:
        with tempfile.TemporaryDirectory(prefix="builder-memory-") as name:
            folder = Path(name)
            size = write_inputs(folder, layers=options.layers)
            peaks = measure(spec(folder, layers=options.layers, recipe=recipe), folder=folder)
        most = max(peaks.values())
        above |= most > limit(size)
        told = ", ".join(f"{phase or 'start'} {peak // _MIB}" for phase, peak in peaks.items())
        sys.stdout.write(
            f"{recipe}: source {size // _MIB}, peak {most // _MIB}, allowed {limit(size) // _MIB} MiB ({told})\n"
        )
        sys.stdout.flush()
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
