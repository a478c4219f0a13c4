import gc
import json
import weakref
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
import torch

from model_builder import data as datasets
from model_builder import export, graph
from model_builder.errors import BadSpec
from model_builder.sources import builtin
from model_builder.spec import Export
from tests.model_builder.conftest import QUANTIZE, TRAIN, Artifact, run_build, spec

pytestmark = pytest.mark.deep


def model_of(out: Path) -> Path:
    return out / "repository/digits/1/model.onnx"


def test_an_onnx_source_is_quantized_and_served(artifact: Artifact, tmp_path: Path) -> None:
    """The source is the float model of another build; only passes on the graph can work on it."""
    run_build(spec(TRAIN), out=tmp_path / "float")
    source = {"uri": model_of(tmp_path / "float").as_uri()}
    result = run_build(spec(QUANTIZE, source=source), out=tmp_path / "out")
    assert result["metrics"]["sizeBytes"]["value"] < 0.35 * result["metrics"]["sizeBytes.source"]["value"]
    assert model_of(tmp_path / "out").read_bytes() == model_of(artifact.directory).read_bytes()
    with pytest.raises(BadSpec, match="'train' works on a network, and the source is an ONNX graph"):
        run_build(spec(TRAIN, source=source), out=tmp_path / "refused")


def test_options_of_the_export_are_in_the_served_graph(tmp_path: Path) -> None:
    """Raw rows in, the name of a class out, on a server of 2023; a normalization that the data set brings is inside."""
    rows = (1000 + 100 * numpy.random.default_rng(0).random((200, 8, 8))).astype("float32")
    labels = numpy.array([f"digit-{index % 10}" for index in range(200)])
    numpy.savez(tmp_path / "own.npz", rows=rows, label=labels)
    data: dict[str, Any] = {
        "name": "own",
        "format": "Arrays",
        "uri": (tmp_path / "own.npz").as_uri(),
        "normalization": "Standard",
    }
    raw = spec(data=data, export={"runtime": "1.15", "classNames": True}, gates=[])
    result = run_build(raw, out=tmp_path / "out")
    assert [(t["name"], t["datatype"], t["shape"]) for t in result["outputs"]][1] == ("label", "BYTES", [])
    model = onnx.load(model_of(tmp_path / "out"))
    assert (model.opset_import[0].version, model.ir_version) == (19, 9)
    session = graph.open_session(model_of(tmp_path / "out"))
    probabilities, names = session.run(None, {session.get_inputs()[0].name: rows[:5]})
    described = json.loads((tmp_path / "out/manifest.json").read_text())["data"]
    assert [described["classes"][index] for index in probabilities.argmax(axis=1)] == names.tolist()
    mean, scale = (numpy.array(described["normalization"][key], dtype="float32") for key in ("mean", "scale"))
    made = builtin.load("builtin://digits-cnn", seed=0).architecture
    assert made is not None
    scaled = ((rows[:5].reshape(5, -1) - mean) / scale).reshape(5, 8, 8)
    with torch.inference_mode():
        expected = made.network(torch.from_numpy(scaled)).softmax(dim=-1).numpy()
    assert numpy.abs(probabilities - expected).max() < 1e-5


def test_an_exported_network_is_not_kept(tmp_path: Path) -> None:
    """A build goes on for long after the export: the exporter's rules would hold the weights all the time."""
    made = builtin.load("builtin://digits-cnn", seed=0).architecture
    assert made is not None
    data, to = datasets.REGISTRY["digits"](0), tmp_path / "model.onnx"
    export.export(architecture=made, network=made.network, data=data, options=Export(), to=to)
    kept = [weakref.ref(weight) for weight in made.network.parameters()]
    del made
    gc.collect()
    assert [reference() for reference in kept] == [None] * len(kept)
