import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from model_builder import checkpoint
from model_builder.architectures import REGISTRY
from model_builder.cache import Cache
from model_builder.data import Data, load
from model_builder.passes import train
from model_builder.passes.base import Context
from model_builder.progress import SilentReporter
from tests.model_builder.conftest import PYTHON, QUANTIZE, TRAIN, run_build, spec

PARAMETERS = train.Parameters(epochs=3, batch_size=256)


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class KillAfter(SilentReporter):
    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def step(self, *, done: int, total: int, **figures: float) -> None:
        if done == self._epochs:
            raise Killed


def trained(folder: Path, *, reporter: SilentReporter) -> Mapping[str, torch.Tensor]:
    """What the training makes of the network with dropout that every process starts from."""
    torch.manual_seed(0)
    made = REGISTRY["digits-cnn"]().network
    network = torch.nn.Sequential(made, torch.nn.Dropout(0.2))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    context = Context(
        data=load(Data(name="digits"), workspace=folder),
        seed=0,
        reporter=reporter,
        workspace=folder,
        cache=Cache.open(folder / "cache", tell=lambda _: None),
        checkpoints=folder / "checkpoints",
    )
    return train.apply(network=network, parameters=PARAMETERS, context=context).state_dict()


@pytest.mark.deep
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_an_interrupted_training_ends_where_an_undisturbed_one_does(epochs: int, tmp_path: Path) -> None:
    undisturbed = trained(tmp_path / "undisturbed", reporter=SilentReporter())
    with pytest.raises(Killed):
        trained(tmp_path / "killed", reporter=KillAfter(epochs))
    resumed = trained(tmp_path / "killed", reporter=SilentReporter())
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in resumed)


def test_a_damaged_checkpoint_is_none(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) is None
    for number in (1, 2):
        checkpoint.save(tmp_path, number=number, state={"epoch": number, "weights": torch.ones(3)})
    (path,) = tmp_path.iterdir()
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found["epoch"] == 2
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (tmp_path / ".tmp-half").write_bytes(b"half")
    assert checkpoint.load(tmp_path) is None


def test_a_checkpoint_is_never_unpickled(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, number=1, state={"code": os.system})
    with pytest.raises(Exception, match="Weights only load failed"):
        checkpoint.load(tmp_path)


def run(arguments: list[str], *, kill: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """Run a build in a process of its own; end it without warning at the first line that `kill` says yes to."""
    command = [PYTHON, "-m", "model_builder", "build", *arguments]
    last: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = json.loads(line)
            if kill(last):
                process.send_signal(signal.SIGKILL)
    return last if process.returncode == 0 else None


@pytest.mark.deep
def test_a_build_that_is_killed_again_and_again_ends_with_the_same_digest(tmp_path: Path) -> None:
    raw = spec(TRAIN, QUANTIZE)
    undisturbed = run_build(raw, out=tmp_path / "undisturbed")
    (tmp_path / "spec.json").write_text(json.dumps(raw))
    arguments = ["--spec", tmp_path / "spec.json", "--out", tmp_path / "out", "--cache", tmp_path / "cache"]
    seen: set[str] = set()

    def first_time(line: dict[str, Any]) -> bool:
        """Every process gets one event further than all before it."""
        event = json.dumps([line.get("phase"), line.get("done")])
        new = "phase" in line and event not in seen
        seen.add(event)
        return new

    finished = None
    while finished is None:
        finished = run([str(argument) for argument in arguments], kill=first_time)
        assert finished is not None or not (tmp_path / "out" / "manifest.json").exists()
    assert finished["digest"] == undisturbed["digest"]
    assert {"train", "export", "quantize", "evaluate", "write"} <= {json.loads(event)[0] for event in seen}


@pytest.mark.deep
def test_a_changed_last_pass_redoes_only_that_pass(tmp_path: Path) -> None:
    cached: dict[str, dict[str, bool]] = {}
    for name, rows in (("first", 64), ("second", 96), ("third", 96)):
        quantize = {"pass": "quantize", "parameters": {"calibrationRows": rows}}
        run_build(spec(TRAIN, quantize), out=tmp_path / name, cache=tmp_path / "cache")
        steps = json.loads((tmp_path / name / "manifest.json").read_text())["steps"]
        cached[name] = {step["pass"]: step["cached"] for step in steps}
    assert cached["first"] == {"train": False, "export": False, "quantize": False}
    assert cached["second"] == {"train": True, "export": True, "quantize": False}
    assert cached["third"] == cached["second"]  # the finished build itself was found, with its manifest


def damage(folder: Path) -> None:
    for path in folder.rglob("model.onnx"):
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 4
        path.write_bytes(content)


@pytest.mark.deep
def test_a_rebuild_with_a_damaged_cache_gives_the_same_digest(tmp_path: Path) -> None:
    raw, cache = spec(TRAIN, QUANTIZE), tmp_path / "cache"
    first = run_build(raw, out=tmp_path / "first", cache=cache)
    damage(cache)
    again = run_build(raw, out=tmp_path / "again", cache=cache)
    assert again["digest"] == first["digest"]
    manifest = json.loads((tmp_path / "again" / "manifest.json").read_text())
    assert {step["pass"]: step["cached"] for step in manifest["steps"]} == {
        "train": True,  # its weights are whole
        "export": False,
        "quantize": False,
    }


@pytest.mark.deep
def test_a_rebuild_without_changes_loads_no_heavy_library(tmp_path: Path) -> None:
    """What makes it fast; the time itself is measured elsewhere."""
    code = (
        "import sys, json\n"
        "from model_builder.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "print(json.dumps([code, [n for n in ('torch', 'onnx', 'onnxruntime', 'sklearn') if n in sys.modules]]))\n"
    )
    (tmp_path / "spec.json").write_text(json.dumps(spec()))
    arguments = ["build", "--spec", tmp_path / "spec.json", "--out", tmp_path / "out", "--cache", tmp_path / "cache"]
    command = [PYTHON, "-c", code, *map(str, arguments)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines() for _ in range(2)]
    assert json.loads(runs[0][-1])[0] == 0
    assert json.loads(runs[1][-1]) == [0, []]
    assert json.loads(runs[1][-2])["digest"] == json.loads(runs[0][-2])["digest"]
