"""Texts from a spec to a judged artifact: words with tags, and texts with a class, both made up here."""

import json
import random
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
import yaml
from onnx import numpy_helper
from safetensors.torch import save_file
from tritonclient import grpc  # type: ignore[import-untyped]

from model_builder import graph
from model_builder.architectures import make
from model_builder.architectures.base import Ends
from model_builder.data.base import IGNORED_LABEL, Task
from model_builder.data.parameters import Text
from model_builder.data.text import Tokens
from model_builder.passes.quantize import stratified_order
from model_builder.progress import SilentReporter
from model_builder.pull import parse_serving, pull
from tests.model_builder import servers
from tests.model_builder.conftest import run_build

SPEC = """
model: {{name: texts, version: "1"}}
source:
  uri: builtin://text-encoder
  parameters: {{width: 16, heads: 2, layers: 1, hidden: 32}}
data:
  name: made-up
  format: JsonLines
  task: {task}
  splits: {{train: {folder}/train.jsonl, test: {folder}/test.jsonl}}
  text: {{length: 6}}
recipe:
- {{pass: train, parameters: {{epochs: 6, learningRate: 0.006}}}}
- {{pass: finetune, parameters: {{epochs: 1, loraRank: 2, precision: Bf16}}}}
- {{pass: quantize, parameters: {{scheme: {scheme}, calibrationRows: 64}}}}
audit: [{{audit: attention}}]
"""
PEOPLE, FAMILIES, PLACES = ("Ann", "Bob", "Cleo", "Dov"), ("Lee", "Ray"), ("Paris", "Rome", "Oslo")
OTHERS = ("met", "saw", "and", "the", "to", "old", "new", "again", "today", "never")
KINDS = {"good": ("great", "fine", "lovely"), "bad": ("awful", "poor", "dull")}
Line = dict[str, Any]
Built = tuple[Any, Any, Path]


def tagged(chance: random.Random) -> Line:
    """Four words and an entity, of one word or two."""
    words = [(chance.choice(OTHERS), "O") for _ in range(4)]
    person = [(chance.choice(PEOPLE), "B-person"), (chance.choice(FAMILIES), "I-person")]
    entity = person[: chance.randint(1, 2)] if chance.random() < 0.5 else [(chance.choice(PLACES), "B-place")]
    place = chance.randint(0, 4)
    words[place:place] = entity
    return {"tokens": [word for word, _ in words], "label": [tag for _, tag in words]}


def judged(chance: random.Random) -> Line:
    """Five words, one of which says what the text is."""
    kind = chance.choice(sorted(KINDS))
    words = [chance.choice(OTHERS) for _ in range(4)]
    words.insert(chance.randint(0, 4), chance.choice(KINDS[kind]))
    return {"text": " ".join(words), "label": kind}


def written(folder: Path, line: Callable[[random.Random], Line]) -> str:
    """Different lines, divided into training and test; the URI of their folder."""
    chance = random.Random(0)
    lines = sorted({json.dumps(line(chance)) for _ in range(900)})
    chance.shuffle(lines)
    (folder / "train.jsonl").write_text("\n".join(lines[:400]))
    (folder / "test.jsonl").write_text("\n".join(lines[400:]))
    return folder.as_uri()


def built(folder: Path, *, task: str, scheme: str, line: Callable[[random.Random], Line]) -> Built:
    """The result, the manifest and the file of the model."""
    raw = yaml.safe_load(SPEC.format(task=task, scheme=scheme, folder=written(folder, line)))
    result = run_build(raw, out=folder / "out")
    (model,) = (folder / "out").rglob("model.onnx")
    return result, json.loads((folder / "out" / "manifest.json").read_text()), model


def operators(model: Path) -> set[str]:
    return {node.op_type for node in onnx.load(model).graph.node}


@pytest.mark.deep
def test_words_are_tagged_by_an_encoder_of_static_integers(tmp_path: Path) -> None:
    result, manifest, model = built(tmp_path, task="TokenClassification", scheme="Int8Static", line=tagged)
    metrics = {name: metric["value"] for name, metric in result["metrics"].items()}
    assert min(metrics["accuracy"], metrics["entityF1"], metrics["agreement"]) > 0.95
    assert [(t["name"], t["datatype"], t["shape"]) for t in result["inputs"]] == [("tokens", "INT64", [6])]
    assert [t["shape"] for t in result["outputs"]] == [[6, len(manifest["data"]["classes"])]]
    assert {row["class"] for row in manifest["tables"]["final"]["perEntity"]} == {"person", "place"}
    assert [gate["verdict"] for gate in manifest["gates"]] == ["Pass"]
    assert (manifest["source"]["architecture"], manifest["source"]["parameters"]["width"]) == ("text-encoder", 16)
    assert len(manifest["audits"]["attention"]["tables"]["rollout"]) == 4
    assert {"QuantizeLinear", "MatMul"} <= operators(model)


@pytest.mark.deep
def test_learned_words_and_weights_serve_another_task(tmp_path: Path) -> None:
    known = Tokens.learn([["great", "fine", "lovely", "awful", "poor", "dull", *OTHERS]], parameters=Text(length=6))
    (tmp_path / "vocabulary.json").write_text(known.write(task=Task.CLASSIFICATION))
    ends = Ends(vocabulary=len(known.vocabulary), outputs=7, per_token=True)
    size = {"width": 16, "heads": 2, "layers": 1, "hidden": 32}
    learned = make("text-encoder", parameters=size, ends=lambda: ends).network
    save_file(learned.state_dict(), tmp_path / "weights.safetensors")
    raw = yaml.safe_load(SPEC.format(task="Classification", scheme="Int8Dynamic", folder=written(tmp_path, judged)))
    raw["source"] = {
        "uri": (tmp_path / "weights.safetensors").as_uri(),
        "architecture": "text-encoder",
        "parameters": size,
        "head": "Fresh",
    }
    raw["data"]["text"]["vocabularyUri"] = (tmp_path / "vocabulary.json").as_uri()
    raw["recipe"] = []
    run_build({**raw, "gates": []}, out=tmp_path / "out")
    (kept,) = (tmp_path / "out").rglob("vocabulary.json")
    assert kept.read_text() == (tmp_path / "vocabulary.json").read_text()
    (model,) = (tmp_path / "out").rglob("model.onnx")
    matrices = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model).graph.initializer}
    words = learned.state_dict()["words.weight"].numpy()
    (embedding,) = [matrix for matrix in matrices.values() if matrix.shape == words.shape]
    assert numpy.array_equal(embedding, words)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Made once: the training, the export and the measurements take seconds."""
    folder = tmp_path_factory.mktemp("classifier")
    return built(folder, task="Classification", scheme="Int8Dynamic", line=judged)


@pytest.mark.real
def test_a_server_answers_numbers_of_words_as_the_build_did(classifier: Built, triton: servers.Triton) -> None:
    result, _, _ = classifier
    serving = parse_serving(json.dumps({"maxBatchSize": 8}))
    place: dict[str, Any] = {"uri": result["uri"], "digest": result["digest"], "to": triton.repository}
    pull(**place, model="texts", backend="python", serving=serving, reporter=SilentReporter())
    with grpc.InferenceServerClient(triton.grpc) as client:
        client.load_model("texts")
    golden = json.loads((triton.repository / "texts" / "golden.json").read_text())
    assert golden["requests"]
    for case in golden["requests"]:
        request = urllib.request.Request(f"{triton.http}/v2/models/texts/infer", json.dumps(case["request"]).encode())
        with urllib.request.urlopen(request) as response:
            (output,) = json.loads(response.read())["outputs"]
        (expected,) = case["response"]["outputs"]
        assert output["data"] == pytest.approx(expected["data"], abs=golden["absoluteTolerance"])


@pytest.mark.deep
def test_texts_are_classified_by_an_encoder_of_dynamic_integers(classifier: Built) -> None:
    result, manifest, model = classifier
    assert result["metrics"]["accuracy"]["value"] > 0.95
    assert result["batchable"]
    assert [gate["verdict"] for gate in manifest["gates"]] == ["Pass", "Pass"]
    (tuned,) = [step["record"]["lora"] for step in manifest["steps"] if step["pass"] == "finetune"]
    assert 0 < tuned["trainable"] < tuned["total"]
    assert "MatMulInteger" in operators(model)
    rows = numpy.array([[2, 3, 0, 0, 0, 0], [0] * 6, [10**6] * 6])
    answers = graph.predict(graph.open_session(model), rows)
    told = json.loads((model.parents[1] / "vocabulary.json").read_text())
    assert told["tokens"][:2] == ["<padding>", "<unknown>"]
    assert {"great", "dull", "met"} <= set(told["tokens"])
    assert (told["length"], told["lowercase"]) == (6, True)
    assert re.findall(told["split"], "so-so, Ann") == ["so", "-", "so", ",", "Ann"]
    assert answers.sum(axis=1) == pytest.approx(numpy.ones(3), abs=1e-5)


def test_a_row_of_tags_stands_for_its_rarest_tag_when_calibration_rows_are_chosen() -> None:
    labels = numpy.zeros((60, 4), dtype="int64")
    labels[:, 0] = 1
    labels[[5, 17], 1] = 2
    labels[[5, 30], 3] = IGNORED_LABEL  # as seldom as a rare tag, but none
    rarest = numpy.ones(60, dtype="int64")
    rarest[[5, 17]] = 2
    assert numpy.array_equal(stratified_order(labels, seed=0), stratified_order(rarest, seed=0))
