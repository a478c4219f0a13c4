import json
from pathlib import Path
from typing import Any

import pytest

from model_builder.decode import decode, describe
from model_builder.errors import BadSpec
from model_builder.passes import REGISTRY
from model_builder.spec import Spec, load, resolve
from tests.model_builder.conftest import QUANTIZE, TRAIN, spec


def read(raw: object) -> Any:
    return resolve(decode(Spec, raw, where="spec"))


def changed(path: str, value: object) -> dict[str, Any]:
    raw: Any = json.loads(json.dumps(spec(TRAIN, QUANTIZE, gates=[{"metric": "accuracy", "threshold": 0.9}])))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = raw
    for parent in parents:
        place = place[parent]
    place[last] = value
    return dict(raw)


def test_a_spec_is_resolved_with_defaults_and_camel_case_keys() -> None:
    plan = read(spec({"pass": "train"}, QUANTIZE))
    train, quantize = plan.passes
    assert (train.parameters.epochs, train.parameters.learning_rate) == (8, 0.002)
    assert quantize.parameters.calibration_rows == 64
    assert plan.spec.source.architecture == "digits-cnn"


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("model.name", "../etc", "spec.model.name is '../etc'; it must be 1 to 128 letters"),
        ("model.version", 2026.11, "spec.model.version must be a string (put it in quotes), not float 2026.11"),
        ("modle", {}, "spec: unknown key 'modle'; did you mean 'model'?"),
        ("source.uri", "ftp://x/y", "schemes: known: az, builtin, file, gs, hf, mlflow, oci, s3"),
        ("source.uri", "builtin://digits-cmm", "did you mean 'digits-cnn'?"),
        ("source.uri", "file:///weights.pkl", "loading a .pkl file can run code"),
        ("source.architecture", "resnet", "spec.source.architecture is 'resnet'; known: digits-cnn"),
        ("data.name", "digit", "did you mean 'digits'?"),
        ("data.seed", -1, "spec.data.seed is -1; allowed is 0 to 2.14748e+09"),
        ("data.seed", True, "spec.data.seed must be a whole number, not bool True"),
        ("recipe", {}, "spec.recipe must be a list, not a mapping"),
        ("recipe.0.pass", "trian", "spec.recipe[0].pass is 'trian'; did you mean 'train'?"),
        ("recipe.0.parameters", [], "spec.recipe[0].parameters must be a mapping of keys to values, not a list"),
        ("recipe.0.parameters.epoch", 3, "spec.recipe[0].parameters: unknown key 'epoch'; did you mean 'epochs'?"),
        ("recipe.0.parameters.epochs", 501, "epochs is 501; allowed is 0 to 500"),
        ("recipe.0.parameters.learningRate", "1e-3", "learningRate must be a number such as 0.001, not str '1e-3'"),
        (
            "recipe.0.parameters.learningRate",
            float("nan"),
            "learningRate must be a number such as 0.001, not float nan",
        ),
        ("recipe.1.parameters.scheme", "Int4", "scheme is 'Int4'; known: Int8Dynamic, Int8Static"),
        ("recipe", [TRAIN] * 33, "the number of entries in spec.recipe is 33; allowed is 0 to 32"),
        ("recipe", [QUANTIZE, TRAIN], "'train' works on the network and can't follow 'quantize'"),
        ("gates.0.metric", "acuracy", "spec.gates[0].metric is 'acuracy'; did you mean 'accuracy'?"),
        ("gates.0.maxDegradation", 0.1, "and has 'threshold' and 'maxDegradation'"),
        ("gates.0.against", "Stabel", "spec.gates[0].against is 'Stabel'; did you mean 'Stable'?"),
        ("audit", [{"audit": "fairnes"}], "spec.audit[0].audit is 'fairnes'; did you mean 'fairness'?"),
        ("audit", [{"audit": "privacy", "parameters": {"x": 1}}], "spec.audit[0].parameters: unknown key 'x'"),
        ("export", {"runtime": 1.18}, "spec.export.runtime is 1.18 (put it in quotes); did you mean '1.18'?"),
    ],
)
def test_a_wrong_spec_is_refused_with_the_field_and_the_fix(path: str, value: object, sentence: str) -> None:
    with pytest.raises(BadSpec) as caught:
        read(changed(path, value))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("raw", [None, [], "text", {}, {"model": None}])
def test_what_is_no_spec_at_all_is_a_bad_spec(raw: object) -> None:
    with pytest.raises(BadSpec):
        read(raw)


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(spec(TRAIN)))
    (tmp_path / "a.yaml").write_text(
        "model: {name: digits, version: '1'}\nsource: {uri: 'builtin://digits-cnn'}\ndata: {name: digits, seed: 0}\n"
        "recipe: [{pass: train, parameters: {epochs: 2, learningRate: 0.004}}]\n"
    )
    assert load(str(tmp_path / "a.json")) == load(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(("name", "text"), [("a.json", "{"), ("a.yaml", "a: ["), ("a.json", "[" * 100_000)])
def test_a_spec_that_can_not_be_parsed_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadSpec, match=r"a\.(json|yaml) is not valid"):
        load(str(tmp_path / name))


def test_a_build_job_gets_its_spec_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text(json.dumps(spec(TRAIN)))
    monkeypatch.setenv("MODEL_BUILD_SPEC", json.dumps(spec(TRAIN)))
    assert load("env:MODEL_BUILD_SPEC") == load(str(tmp_path / "a.json"))
    monkeypatch.setenv("MODEL_BUILD_SPEC", "{")
    with pytest.raises(BadSpec, match="env:MODEL_BUILD_SPEC is not valid JSON"):
        load("env:MODEL_BUILD_SPEC")
    monkeypatch.delenv("MODEL_BUILD_SPEC")
    with pytest.raises(BadSpec, match="MODEL_BUILD_SPEC is not set"):
        load("env:MODEL_BUILD_SPEC")


def test_every_parameter_of_every_pass_is_described() -> None:
    for entry in REGISTRY.values():
        for parameter in describe(entry.parameters):
            assert parameter["description"], (entry.name, parameter["name"])
            assert "default" in parameter
