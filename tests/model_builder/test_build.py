import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
import torch
from safetensors.torch import save_file

from model_builder import graph
from model_builder.architectures import REGISTRY
from model_builder.artifact import digest_of, scan
from model_builder.cache import Cache
from model_builder.data import digits
from model_builder.data.base import Split
from model_builder.errors import BadData, BadSpec, GateFailed, OutOfMemory
from model_builder.passes import quantize, train
from model_builder.passes.base import Context
from model_builder.passes.quantize import stratified_order
from model_builder.progress import SilentReporter
from model_builder.sources import builtin
from tests.model_builder.conftest import QUANTIZE, TRAIN, Artifact, run_build, spec

Command = Callable[..., tuple[int, dict[str, Any]]]


def test_an_artifact_is_complete_and_says_so(artifact: Artifact) -> None:
    manifest = json.loads((artifact.directory / "manifest.json").read_text())
    found = {p.relative_to(artifact.directory).as_posix() for p in artifact.directory.rglob("*") if p.is_file()}
    listed = {file["path"] for file in manifest["files"]}
    assert listed == found - {"manifest.json"}
    assert listed >= {f"repository/digits/{name}" for name in ("config.pbtxt", "1/model.onnx", "1/model.py")}
    for file in manifest["files"]:
        content = (artifact.directory / file["path"]).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["bytes"])
    assert manifest["digest"] == artifact.digest
    assert manifest["data"]["rows"] == {"train": 1257, "validation": 270, "test": 270}
    assert {"torch", "onnxruntime"} <= manifest["versions"].keys()


def test_the_result_tells_metrics_and_interface(artifact: Artifact) -> None:
    metrics = artifact.result["metrics"]
    assert metrics["accuracy"]["rows"] == metrics["accuracy.source"]["rows"] == 270
    assert metrics["accuracy.source"]["value"] > 0.8
    assert metrics["sizeBytes"]["value"] < 0.35 * metrics["sizeBytes.source"]["value"]
    assert artifact.result["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [8, 8]}]
    assert artifact.result["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [10]}]
    assert artifact.result["batchable"] is True
    assert artifact.uri == artifact.directory.as_uri()


@pytest.mark.deep
def test_same_spec_and_seed_give_the_same_digest(artifact: Artifact, tmp_path: Path) -> None:
    again = run_build(spec(TRAIN, QUANTIZE, model={"name": "digits", "version": "2"}), out=tmp_path / "again")
    assert again["digest"] == artifact.digest  # the version is a label, not content


def test_the_digest_covers_served_files_and_promises_but_no_measurement(artifact: Artifact, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact.directory, copy)
    (copy / "manifest.json").write_text("{}")
    assert digest_of(scan(copy)) == artifact.digest
    for name in ("contract.json", "repository/digits/config.pbtxt", "repository/digits/1/model.py"):
        original = (copy / name).read_bytes()
        (copy / name).write_bytes(original + b" ")
        assert digest_of(scan(copy)) != artifact.digest, name
        (copy / name).write_bytes(original)


def test_the_graph_takes_raw_pixels_and_carries_no_trace_of_the_machine(artifact: Artifact) -> None:
    path = artifact.directory / "repository/digits/1/model.onnx"
    model = onnx.load(path)
    assert (model.opset_import[0].version, model.ir_version) == graph.RUNTIMES[graph.DEFAULT_RUNTIME]
    assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()
    assert b"stack_trace" not in path.read_bytes()
    golden = json.loads((artifact.directory / "golden.json").read_text())
    session = graph.open_session(path)
    for case in golden["requests"]:
        (image,), (expected,) = case["request"]["inputs"], case["response"]["outputs"]
        rows = numpy.array(image["data"], dtype="float32").reshape(image["shape"])
        assert rows.max() > 1
        answer = graph.predict(session, rows)
        assert numpy.abs(answer.ravel() - expected["data"]).max() < 1e-6
        assert numpy.allclose(answer.sum(axis=1), 1, atol=1e-5)


SIX_EPOCHS = {"pass": "train", "parameters": {"epochs": 6}}


@pytest.mark.deep
@pytest.mark.parametrize(
    ("recipe", "passes"),
    [
        (
            [
                SIX_EPOCHS,
                {"pass": "quantize", "parameters": {"calibrationSample": "Blank"}},
            ],
            False,
        ),
        ([SIX_EPOCHS, QUANTIZE], True),
    ],
)
def test_weak_models_fail_their_gate_and_reach_no_store(
    recipe: list[dict[str, Any]], passes: bool, tmp_path: Path
) -> None:
    raw = spec(*recipe, gates=[{"metric": "accuracy", "threshold": 0.94}])
    store = tmp_path / "store"
    if passes:
        assert run_build(raw, out=tmp_path / "out", store=store.as_uri())["uri"].startswith(store.as_uri())
        return
    with pytest.raises(GateFailed, match=r"accuracy is 0\.\d+ on 270 rows .*; the gate asks for at least 0.94"):
        run_build(raw, out=tmp_path / "out", store=store.as_uri())
    assert list(store.iterdir()) == []
    assert json.loads((tmp_path / "out/manifest.json").read_text())["gates"][0]["verdict"] == "Fail"


def context(tmp_path: Path, **changes: Any) -> Context:
    dataset = dataclasses.replace(digits.load(0), **changes)
    return Context(
        data=dataset,
        seed=0,
        reporter=SilentReporter(),
        workspace=tmp_path,
        cache=Cache.open(tmp_path / "cache", tell=lambda _: None),
        checkpoints=tmp_path,
    )


@pytest.mark.deep
def test_a_diverged_training_is_a_failed_gate(tmp_path: Path) -> None:
    broken = Split(rows=numpy.full((32, 8, 8), numpy.inf, dtype="float32"), labels=numpy.zeros(32, dtype="int64"))
    network = REGISTRY["digits-cnn"]().network
    with pytest.raises(GateFailed, match=r"diverged in epoch 1: the loss is nan; lower learningRate \(now 0.002\)"):
        train.apply(network=network, parameters=train.Parameters(), context=context(tmp_path, train=broken))


def test_the_seed_decides_split_and_weights(tmp_path: Path) -> None:
    first, second = (builtin.load("builtin://digits-cnn", seed=seed) for seed in (0, 1))
    networks = [made.architecture.network for made in (first, second) if made.architecture is not None]
    assert not torch.equal(*(next(iter(network.parameters())) for network in networks))
    splits = [digits.load(seed) for seed in (0, 0, 1)]
    assert numpy.array_equal(splits[0].test.rows, splits[1].test.rows)
    assert not numpy.array_equal(splits[0].test.rows, splits[2].test.rows)
    assert all(min(numpy.bincount(part.labels)) >= 25 for part in (splits[0].validation, splits[0].test))


@pytest.mark.deep
def test_weights_from_a_file_are_served_as_they_are(tmp_path: Path) -> None:
    network = REGISTRY["digits-cnn"]().network
    save_file(network.state_dict(), tmp_path / "x.safetensors")
    source = {"uri": (tmp_path / "x.safetensors").as_uri()}
    run_build(spec(source=source), out=tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (
        manifest["source"]["digest"]
        == "sha256:" + hashlib.sha256((tmp_path / "x.safetensors").read_bytes()).hexdigest()
    )


@pytest.mark.deep
@pytest.mark.parametrize("damage", ["absent", "garbage", "other network", "nan"])
def test_unusable_weights_are_bad_data(damage: str, tmp_path: Path) -> None:
    path, state = tmp_path / "x.safetensors", REGISTRY["digits-cnn"]().network.state_dict()
    if damage == "garbage":
        path.write_bytes(b"\x80\x04pickle")
    elif damage == "other network":
        save_file({"layer": torch.zeros(3)}, path)
    elif damage == "nan":
        save_file({**state, "head.3.bias": torch.full((10,), float("nan"))}, path)
    with pytest.raises(BadData, match=r"x\.safetensors"):
        run_build(spec(source={"uri": path.as_uri()}), out=tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.deep
def test_more_calibration_rows_than_there_are_is_bad_data(tmp_path: Path) -> None:
    parameters = quantize.Parameters(calibration_rows=5000)
    with pytest.raises(BadData, match="calibrationRows is 5000, but the training split of 'digits' has 1257 rows"):
        quantize.apply(graph=tmp_path / "x.onnx", parameters=parameters, context=context(tmp_path))


def test_foreign_files_in_the_output_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BadSpec, match=r"holds 'thesis.txt'"):
        run_build(spec(), out=tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_failed_rebuild_leaves_nothing_that_looks_whole(artifact: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(artifact.directory, out)
    with pytest.raises(BadData):
        run_build(spec(source={"uri": "file:///absent.safetensors"}), out=out)
    assert list(out.iterdir()) == []


@pytest.mark.deep
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_failed_allocation_is_out_of_memory(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("model_builder.sources.load", allocate)
    with pytest.raises(OutOfMemory, match="raise the memory limit"):
        run_build(spec(), out=tmp_path / "out")


def test_calibration_rows_hold_every_class_alike() -> None:
    labels = numpy.repeat(numpy.arange(4), [400, 100, 50, 30])
    order = stratified_order(labels, seed=3)
    assert sorted(order.tolist()) == list(range(580))
    assert numpy.bincount(labels[order[:40]]).tolist() == pytest.approx([10] * 4, abs=1)


@pytest.mark.deep
def test_the_command_line_writes_progress_and_the_result(tmp_path: Path, command: Command) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(spec()))
    log = tmp_path / "termination"
    arguments = ("--spec", tmp_path / "spec.json", "--out", tmp_path / "out", "--termination-log", log)
    code, last = command("build", *arguments)
    assert code == 0
    assert json.loads(log.read_text()) == last
    assert last["digest"].startswith("sha256:")


@pytest.mark.deep
@pytest.mark.parametrize(
    ("raw", "code", "reason"),
    [
        (spec(recipe=[{"pass": "trian"}]), 2, "BadSpec"),
        (spec(gates=[{"metric": "accuracy", "threshold": 0.9}]), 3, "GateFailed"),
        (spec(source={"uri": "file:///absent.safetensors"}), 4, "BadData"),
    ],
)
def test_failures_reach_the_termination_log_with_their_exit_code(
    raw: dict[str, Any], code: int, reason: str, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(raw))
    log = tmp_path / "termination"
    arguments = ("--spec", tmp_path / "spec.json", "--out", tmp_path / "out", "--termination-log", log)
    returned, last = command("build", *arguments)
    assert (returned, last["error"]["reason"]) == (code, reason)
    assert json.loads(log.read_text()) == last


def test_a_wrong_command_line_is_a_bad_spec(command: Command) -> None:
    code, last = command("build", "--sepc", "x")
    assert (code, last["error"]["reason"]) == (2, "BadSpec")


def test_passes_and_lint_answer_as_data(tmp_path: Path, command: Command) -> None:
    code, listed = command("passes", "--json")
    assert code == 0
    assert {"train", "quantize"} <= {entry["name"] for entry in listed["passes"]}


def test_lint_says_what_the_test_rows_can_prove(tmp_path: Path, command: Command) -> None:
    gates = [{"metric": "accuracy", "maxDegradation": drop} for drop in (0.01, 0.02)]
    (tmp_path / "spec.json").write_text(json.dumps(spec(TRAIN, QUANTIZE, gates=gates)))
    code, told = command("lint", "--spec", tmp_path / "spec.json")
    assert (code, told["passes"], told["valid"]) == (0, ["train", "quantize"], True)
    assert told["data"]["testRows"] == 270
    assert told["data"]["smallestProvableDrop"] == pytest.approx(0.011, abs=2e-4)
    (sentence,) = told["data"]["unprovable"]
    assert "degradation of at most 0.01" in sentence
    elsewhere = {"name": "own", "format": "Csv", "uri": "file:///absent.csv"}
    (tmp_path / "spec.json").write_text(json.dumps(spec(TRAIN, data=elsewhere)))
    code, told = command("lint", "--spec", tmp_path / "spec.json")
    assert code == 0
    assert "absent.csv" in told["data"]["notRead"]
