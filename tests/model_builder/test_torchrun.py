import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy
import pytest

from model_builder import ranks
from model_builder.cache import Cache
from model_builder.decode import decode
from model_builder.errors import BadSpec
from model_builder.inputs import Inputs
from model_builder.pipeline import Pipeline
from model_builder.progress import SilentReporter
from model_builder.ranks import ALONE, Group
from model_builder.spec import Spec, resolve
from tests.model_builder import processes
from tests.model_builder.conftest import PYTHON, spec

ROOT = Path(__file__).parents[2]


def torchrun(*target: object) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine's loopback."""
    options = ["--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command = [PYTHON, "-m", "torch.distributed.run", *options, *map(str, target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], str]:
    """What each of two processes found in all scenarios, and what the first one was told in the end."""
    folder = tmp_path_factory.mktemp("ranks")
    done = torchrun(ROOT / "tests" / "model_builder" / "processes.py", folder)
    assert done.returncode == 0, done.stderr
    first, second, alone = (json.loads((folder / f"{name}.json").read_text()) for name in ("0", "1", "alone"))
    return first, second, alone


def close(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(numpy.allclose(found[name], wanted[name], atol=1e-5) for name in wanted)


@pytest.mark.deep
@pytest.mark.parametrize("rows", ["plain", "odd"])
def test_two_processes_learn_what_one_does_from_the_same_batches(rows: str, both: Any, tmp_path: Path) -> None:
    network = processes.net()
    data = processes.dataset(rows=37) if rows == "odd" else None
    alone = processes.told(network, processes.tuned(tmp_path, network, group=ALONE, data=data))
    for found in both[:2]:
        assert close(found[rows]["weights"], alone["weights"])
        assert found[rows]["training"]["loss"] == pytest.approx(alone["training"]["loss"], abs=1e-5)
        assert found[rows]["training"]["validationLoss"] == pytest.approx(alone["training"]["validationLoss"], abs=1e-5)
        assert found[rows]["training"]["processes"] == 2
    assert alone["training"]["processes"] == 1


@pytest.mark.deep
def test_the_same_again_is_the_same_to_the_last_bit_and_in_both_processes(both: Any) -> None:
    first, second, _ = both
    assert first["plain"] == first["again"]
    for name in ("plain", "odd", "dropout", "resumed", "scarce"):
        assert first[name]["weights"] == second[name]["weights"]
        assert first[name]["training"] == second[name]["training"]


@pytest.mark.deep
def test_an_interrupted_training_goes_on_with_the_dropout_of_each_process(both: Any) -> None:
    first, second, _ = both
    assert first["resumed"]["weights"] == first["dropout"]["weights"]  # running means of its batch norm included
    assert first["resumed"]["training"] == first["dropout"]["training"]
    assert first["resumed"]["notes"] == ["finetune was interrupted, and went on after epoch 2"]
    assert first["resumed"]["checkpoints"] == 1
    assert second["resumed"]["checkpoints"] == 0  # one writes


@pytest.mark.deep
def test_what_one_process_lacks_memory_for_all_do_with_less(both: Any) -> None:
    for found in both[:2]:
        assert found["step"]["training"]["rowsAtOnce"] == 8
        assert close(found["step"]["weights"], found["plain"]["weights"])
        assert found["scarce"]["training"]["rowsAtOnce"] == 8
        assert "ran out of memory with 16 rows at once: it went back to epoch 0" in found["scarce"]["notes"][0]
        own = {name.removeprefix("network."): tensor for name, tensor in found["scarce"]["weights"].items()}
        assert close(own, found["plain"]["weights"])


@pytest.mark.deep
def test_what_one_process_fails_with_all_fail_with(both: Any) -> None:
    first, second, alone = both
    assert first["memory"] == {
        "type": "OutOfMemory",
        "reason": "OutOfMemory",
        "text": "too little (process 1)",
    }
    assert (second["disk"]["reason"], second["disk"]["text"]) == ("DiskFull", "no room")
    assert (first["disk"]["reason"], first["disk"]["type"]) == ("DiskFull", "StorageError")
    assert "a process of this build is gone" in alone


@pytest.mark.deep
def test_the_others_follow_the_steps_of_a_build(both: Any, tmp_path: Path) -> None:
    first, second, _ = both
    assert first["built"]["failure"] == "no such file (process 1)"
    assert second["built"] == {"exit": 5}
    weights, keys = processes.weights(tmp_path / "alone", ALONE)
    assert numpy.abs(numpy.subtract(first["built"]["weights"], weights)).max() < 1e-3
    assert not set(keys) & set(first["built"]["keys"])  # the number of processes is part of what a step follows from


@pytest.mark.deep
def test_a_build_that_fails_ends_all_processes_with_its_exit_code(tmp_path: Path) -> None:
    step = {"pass": "finetune", "parameters": {"epochs": 1, "batchSize": 7}}
    (tmp_path / "spec.json").write_text(json.dumps(spec(step)))
    log = tmp_path / "termination"
    paths = ["--spec", tmp_path / "spec.json", "--out", tmp_path / "out", "--termination-log", log]
    done = torchrun(ROOT / "tests" / "model_builder" / "ending.py", "build", *paths)
    failure = json.loads(done.stdout.splitlines()[-1])
    assert failure == json.loads(log.read_text())
    assert failure["error"]["reason"] == "BadSpec"
    assert "finetune.batchSize is 7; 2 processes share a batch of at least 8 rows" in failure["error"]["message"]
    assert sum("error" in json.loads(line) for line in done.stdout.splitlines()) == 1  # one speaks
    assert done.returncode != 0
    assert "exitcode  : 2" in done.stderr
    assert "exitcode  : 99" not in done.stderr


class Told(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.deep
def test_a_pass_that_is_not_shared_says_who_waits_for_it(tmp_path: Path) -> None:
    plan = resolve(decode(Spec, spec({"pass": "train", "parameters": {"epochs": 0}}), where="spec"))

    def notes(group: Group, folder: Path) -> list[str]:
        folder.mkdir()
        reporter, cache = Told(), Cache.open(folder / "cache", tell=print)
        inputs = Inputs(spec=plan.spec, reporter=reporter, workspace=folder, cache=cache)
        Pipeline(
            plan=plan, inputs=inputs, cache=cache, reporter=reporter, workspace=folder, replayed={}, group=group
        ).network()
        return reporter.notes

    (told,) = notes(Group(rank=0, size=3), tmp_path / "three")
    assert told == "train computes in one process, and 2 wait for it; passes that share their rows: finetune"
    assert notes(ALONE, tmp_path / "alone") == []


def test_an_environment_that_is_not_torchruns_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert ranks.join() == ALONE
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(BadSpec, match="WORLD_SIZE is 'two'; torchrun sets it"):
        ranks.join()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(BadSpec, match="RANK is ''"):
        ranks.join()
