"""What is logged while a build runs: read back from TensorBoard's files and from a real MLflow server."""

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from model_builder import tracking
from model_builder.build import Settings, build
from model_builder.decode import decode
from model_builder.errors import BadSpec, GateFailed
from model_builder.progress import SilentReporter
from model_builder.spec import Spec, resolve
from model_builder.tracking.base import Told
from model_builder.tracking.recorder import Recorder
from tests.model_builder import servers
from tests.model_builder.conftest import TRAIN, run_build, spec

DESCRIBED = {
    "source": {"uri": "builtin://digits-cnn"},
    "data": {"name": "digits", "digest": "sha256:0", "seed": 3},
    "steps": [{"pass": "train", "parameters": {"learning_rate": 0.5}}, {"pass": "export", "parameters": {}}],
    "metrics": {"groupAccuracy:sex=f": {"value": 0.5, "rows": 2}},
    "gates": [{"metric": "accuracy", "verdict": "Pass", "message": "0.5 | it is"}],
}


class Notes(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Kept:
    """A place that keeps what it is given, or fails at one kind of call."""

    def __init__(self, *, failing: str = "") -> None:
        self.scalar: list[tuple[str, float, int]] = []
        self.told: list[Told] = []
        self.closed: list[str | None] = []
        self._failing = failing

    def _maybe_fail(self, call: str) -> None:
        if call == self._failing:
            raise OSError("the disk\nis full")

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        self._maybe_fail("scalars")
        self.scalar += [(name, value, step) for name, value in values.items()]

    def finished(self, told: Told) -> None:
        self._maybe_fail("finished")
        self.told.append(told)

    def close(self, *, failure: str | None) -> None:
        self._maybe_fail("close")
        self.closed.append(failure)


def recorder(**sinks: Kept) -> tuple[Recorder, Notes]:
    notes = Notes()
    made = Recorder(notes)

    def opener(sink: Kept) -> Callable[[], Kept]:
        return lambda: sink

    for name, sink in sinks.items():
        made.add(name, opener(sink))
    return made, notes


def play(made: Recorder) -> None:
    made.phase("finetune")
    made.step(done=0, total=2, loss=3)
    made.step(done=1, total=2, loss=2)
    made.step(done=1, total=2, loss=1.5)  # went back to the last checkpoint
    made.phase("evaluate")
    made.step(done=1, total=1)
    made.phase("finetune")
    made.step(done=2, total=2, loss=1)  # a second one in the recipe, which goes on after its first epoch
    made.finished(DESCRIBED, digest="sha256:1")
    made.close(failure=None)


def test_every_training_is_a_series_of_its_own() -> None:
    kept = Kept()
    play(recorder(kept=kept)[0])
    assert kept.scalar == [
        ("finetune/loss", 3.0, 0),
        ("finetune/loss", 2.0, 1),
        ("finetune-2/loss", 1.5, 1),
        ("finetune-3/loss", 1.0, 2),
    ]
    assert kept.closed == [None]
    (told,) = kept.told
    assert told.digest == "sha256:1"
    assert told.parameters["0.train.learningRate"] == "0.5" and told.parameters["seed"] == "3"
    assert told.metrics == {"groupAccuracy:sex=f": 0.5}
    assert told.gates == {"accuracy": "Pass: 0.5 | it is"}


@pytest.mark.parametrize("call", ["scalars", "finished", "close"])
def test_a_place_that_fails_is_told_once_and_the_others_go_on(call: str) -> None:
    broken, whole = Kept(failing=call), Kept()
    made, notes = recorder(broken=broken, whole=whole)
    play(made)
    assert notes.notes == ["nothing more is logged to broken (OSError: the disk is full)"]
    assert len(whole.scalar) == 4 and whole.closed == [None]


@pytest.mark.parametrize(("key", "module"), [("tensorboard", "tensorboard.summary.writer"), ("mlflow", "mlflow")])
def test_a_missing_library_is_a_note_that_names_the_extra(
    key: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.event_file_writer", None)
    notes = Notes()
    log = tracking.Log(**{key: str(tmp_path) if key == "tensorboard" else "http://127.0.0.1:9"})
    with tracking.recording(log, model="m", version="1", reporter=notes) as made:
        play(made)
    assert notes.notes == [f"nothing more is logged to {key} (ImportError: install the extra {key!r})"]


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ({"tensorboard": "s3://bucket/x"}, "a directory"),
        ({"mlflow": "file:///x"}, "http://HOST:PORT"),
        ({"mlflow": "https://me:secret@host"}, "MLFLOW_TRACKING_USERNAME"),
        ({"mlfow": "http://host"}, "did you mean 'mlflow'"),
    ],
)
def test_what_can_not_be_an_address_is_refused_without_a_secret(log: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadSpec, match=sentence) as caught:
        resolve(decode(Spec, spec(log=log), where="spec"))
    assert "secret" not in str(caught.value)


def events(folder: Path) -> tuple[dict[str, list[tuple[int, float]]], dict[str, str]]:
    """Scalars and texts of the one run in a folder, by TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (run,) = folder.iterdir()
    read = EventAccumulator(str(run))
    read.Reload()
    tags = read.Tags()
    scalars = {tag: [(event.step, round(event.value, 4)) for event in read.Scalars(tag)] for tag in tags["scalars"]}
    texts = {tag: read.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}
    return scalars, texts


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    with tracking.recording(
        tracking.Log(tensorboard=str(tmp_path / "runs")), model="m", version="1/2 x", reporter=Notes()
    ) as made:
        play(made)
    scalars, texts = events(tmp_path / "runs")
    assert scalars["finetune/loss"] == [(0, 3.0), (1, 2.0)]
    assert scalars["metrics/groupAccuracy:sex=f"] == [(0, 0.5)]
    assert texts["digest"] == "sha256:1"
    assert "| accuracy | Pass: 0.5   it is |" in texts["gates"]
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("m-1_2_x-")


def test_a_failed_build_says_so_in_its_run(tmp_path: Path) -> None:
    log = tracking.Log(tensorboard=str(tmp_path / "runs"))
    with pytest.raises(GateFailed), tracking.recording(log, model="m", version="1", reporter=Notes()):
        raise GateFailed("accuracy is too low")
    assert events(tmp_path / "runs")[1]["failure"] == "GateFailed: accuracy is too low"


@pytest.mark.deep
def test_where_it_is_logged_changes_neither_the_artifact_nor_what_is_cached(tmp_path: Path) -> None:
    raw, cache = spec(TRAIN), tmp_path / "cache"
    first = run_build({**raw, "log": {"tensorboard": str(tmp_path / "runs")}}, out=tmp_path / "first", cache=cache)
    scalars, texts = events(tmp_path / "runs")
    assert [step for step, _ in scalars["train/loss"]] == [1, 2]
    assert scalars["metrics/accuracy"][0][1] == pytest.approx(first["metrics"]["accuracy"]["value"], abs=1e-4)
    assert texts["digest"] == first["digest"]
    (tmp_path / "file").touch()
    notes = Notes()
    broken = decode(Spec, {**raw, "log": {"tensorboard": str(tmp_path / "file")}}, where="spec")
    again = build(plan=resolve(broken), out=tmp_path / "again", reporter=notes, settings=Settings(cache=cache))
    assert again["digest"] == first["digest"]
    assert [note for note in notes.notes if "nothing more is logged to tensorboard" in note] == notes.notes
    assert len(notes.notes) == 1
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("first", "again")]
    assert manifests[0]["steps"] == manifests[1]["steps"]  # the finished build itself was found in the cache


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.mlflow(tmp_path_factory.mktemp("tracking")) as environment:
        yield environment["MLFLOW_TRACKING_URI"]


def ask(server: str, path: str, **body: Any) -> Any:
    """The server's own API: what is read was not written by the same client."""
    request = urllib.request.Request(
        f"{server}/api/2.0/mlflow/{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


@pytest.mark.real
def test_mlflow_has_losses_metrics_parameters_and_gates_of_a_build_that_failed(server: str, tmp_path: Path) -> None:
    gates = [{"metric": "accuracy", "threshold": 0.999}]
    raw = spec(TRAIN, gates=gates, log={"mlflow": server}, model={"name": "logged", "version": "1 of 2"})
    with pytest.raises(GateFailed):
        run_build(raw, out=tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    experiments = ask(server, "experiments/search", max_results=10)["experiments"]
    (experiment,) = (e["experiment_id"] for e in experiments if e["name"] == "logged")
    (run,) = ask(server, "runs/search", experiment_ids=[experiment])["runs"]
    assert run["info"]["status"] == "FAILED" and run["info"]["run_name"] == "1 of 2"
    metrics = {entry["key"]: entry["value"] for entry in run["data"]["metrics"]}
    assert metrics["accuracy"] == manifest["metrics"]["accuracy"]["value"]
    parameters = {entry["key"]: entry["value"] for entry in run["data"]["params"]}
    assert parameters["0.train.epochs"] == "2"
    tags = {entry["key"]: entry["value"] for entry in run["data"]["tags"]}
    assert tags["digest"] == manifest["digest"]
    assert tags["failure"].startswith("GateFailed: ") and "accuracy" in tags["gate.accuracy"]
    address = f"{server}/api/2.0/mlflow/metrics/get-history?run_id={run['info']['run_id']}&metric_key=train/loss"
    with urllib.request.urlopen(address) as answer:
        history = json.loads(answer.read())["metrics"]
    assert [entry["step"] for entry in history] == [1, 2]


@pytest.mark.deep
def test_a_server_that_is_not_there_costs_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (port,) = servers.free_ports(1)
    notes = Notes()
    log = tracking.Log(mlflow=f"http://127.0.0.1:{port}")
    with tracking.recording(log, model="m", version="1", reporter=notes) as made:
        play(made)
    assert len(notes.notes) == 1
    assert notes.notes[0].startswith("nothing more is logged to mlflow (MlflowException: ")
