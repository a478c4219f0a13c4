import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_builder.artifact import hash_file
from model_builder.finished import read
from model_builder.report import provenance
from tests.model_builder import told

Command = Callable[..., tuple[int, dict[str, Any]]]


def made(folder: Path, **changes: Any) -> dict[str, Any]:
    return dict(json.loads(provenance.render(read(told.artifact(folder, **changes)))))


def test_the_statement_has_the_form_of_in_toto_and_slsa(tmp_path: Path) -> None:
    statement = made(tmp_path / "a")
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    definition, run = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert set(definition) == {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert set(run) == {"builder", "metadata", "byproducts"}
    assert definition["buildType"].startswith("https://") and run["builder"]["id"].startswith("https://")
    assert run["metadata"]["finishedOn"] == "2026-11-22T21:33:52Z"
    assert datetime.datetime.fromisoformat(run["metadata"]["finishedOn"]).tzinfo is not None
    for resource in (*statement["subject"], *definition["resolvedDependencies"], *run["byproducts"]):
        assert set(resource) <= {"name", "uri", "digest"}
        assert resource.get("uri") or resource.get("digest")
        assert all(isinstance(value, str) and value for value in resource.get("digest", {}).values())


def test_subjects_are_the_files_and_the_artifact(tmp_path: Path) -> None:
    statement = made(tmp_path / "a")
    folder = tmp_path / "a"
    own, *files = statement["subject"]
    assert own == {"name": "m", "digest": {"modelreleaseArtifactV1": read(folder).digest.removeprefix("sha256:")}}
    there = {p.relative_to(folder).as_posix(): hash_file(p) for p in folder.rglob("*") if p.is_file()}
    byproducts = statement["predicate"]["runDetails"]["byproducts"]
    assert {file["name"]: file["digest"]["sha256"] for file in (*files, *byproducts)} == there
    assert [file["name"] for file in byproducts] == ["manifest.json"]


def test_what_was_asked_and_what_was_read_are_told(tmp_path: Path) -> None:
    source = {"uri": "s3://b/w e.safetensors", "architecture": "digits-cnn", "digest": "sha256:" + "a" * 64}
    definition = made(tmp_path / "a", source=source, stable="sha256:" + "b" * 64)["predicate"]["buildDefinition"]
    asked = definition["externalParameters"]
    assert asked["recipe"] == [{"pass": "train", "parameters": {"epochs": 2}}]
    assert asked["source"]["uri"] == source["uri"]
    assert asked["data"]["uri"] == "file:///plain.csv"
    read_ = {resource["name"]: resource for resource in definition["resolvedDependencies"]}
    assert read_["source"] == {"name": "source", "uri": "s3://b/w%20e.safetensors", "digest": {"sha256": "a" * 64}}
    assert read_["data plain"]["digest"] == {"modelreleaseRowsV1": "d" * 64}
    assert read_["stable artifact"]["digest"] == {"modelreleaseArtifactV1": "b" * 64}
    assert read_["onnxruntime"]["uri"] == "pkg:pypi/onnxruntime@1.32.0"


@pytest.mark.parametrize("name", ["card", "bom", "provenance"])
def test_the_commands_write_where_they_are_told(tmp_path: Path, command: Command, name: str) -> None:
    folder = told.artifact(tmp_path / "a")
    code, last = command(name, folder, "--out", tmp_path / "paper")
    assert (code, last["digest"]) == (0, read(folder).digest)
    assert (tmp_path / "paper").read_text()
    (folder / "repository/m/config.pbtxt").write_text("")
    code, last = command(name, folder, "--out", tmp_path / "other")
    assert (code, last["error"]["reason"]) == (4, "ArtifactCorrupt")
    assert "config.pbtxt" in last["error"]["message"] and not (tmp_path / "other").exists()
