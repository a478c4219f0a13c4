import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_builder import artifact as artifacts
from model_builder.contract import Contract, Tensor
from model_builder.errors import ArtifactCorrupt, BadSpec, BuildError
from model_builder.finished import read
from tests.model_builder.conftest import Artifact

Command = Callable[..., tuple[int, dict[str, Any]]]
MODEL = "repository/m/1/model.onnx"


def made(folder: Path) -> Path:
    """An artifact with a model of a few bytes: its reader does not look into that."""
    (folder / MODEL).parent.mkdir(parents=True)
    (folder / MODEL).write_bytes(b"model")
    (folder / "repository/m/config.pbtxt").write_text('name: "m"\n')
    (folder / "golden.json").write_text("{}")
    tensor = Tensor(name="x", datatype="FP32", shape=(2,))
    contract = Contract(
        inputs=(tensor,),
        outputs=(tensor,),
        batchable=True,
        opset=20,
        ir_version=10,
        golden_sha256=hashlib.sha256(b"{}").hexdigest(),
    )
    (folder / "contract.json").write_text(contract.dump())
    write_manifest(folder)
    return folder


def write_manifest(folder: Path, **changes: Any) -> None:
    files = artifacts.scan(folder)
    manifest = {
        "digest": artifacts.digest_of(files),
        "files": [file.to_json() for file in files],
        "metrics": {"a": 0.5},
    }
    (folder / "manifest.json").write_text(artifacts.seal({**manifest, **changes}))


def test_a_whole_artifact_is_read(tmp_path: Path) -> None:
    found = read(made(tmp_path / "a"))
    assert found.manifest["metrics"] == {"a": 0.5}
    assert found.model.read_bytes() == b"model"
    assert found.contract.inputs[0].name == "x"


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_one_flipped_byte_anywhere_is_found_and_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = made(tmp_path_factory.mktemp("flip") / "a")
    victim = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*") if path.is_file())))
    content = bytearray(victim.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    victim.write_bytes(content)
    with pytest.raises(ArtifactCorrupt) as caught:
        read(folder)
    assert victim.relative_to(folder).as_posix() in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FILE = st.fixed_dictionaries(
    {
        "path": st.sampled_from(["../x", "/etc/passwd", MODEL, "repository", "repository/../../x", "a\0", ""]) | JSON,
        "sha256": JSON,
        "bytes": st.integers() | JSON,
    }
)


@pytest.mark.deep
@settings(max_examples=80, deadline=None)
@given(changes=st.fixed_dictionaries({}, optional={"files": st.lists(FILE, max_size=3) | JSON, "digest": JSON}))
def test_a_manifest_that_somebody_else_wrote_is_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    folder = made(tmp_path_factory.mktemp("foreign") / "a")
    write_manifest(folder, **changes)
    if not changes:
        read(folder)
        return
    with pytest.raises(ArtifactCorrupt):
        read(folder)


@settings(max_examples=80, deadline=None)
@given(content=st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b'{"files": 3}', b"null", b"\xff"]))
def test_any_bytes_as_a_manifest_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = made(tmp_path_factory.mktemp("bytes") / "a")
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BuildError, match=r"manifest\.json"):
        read(folder)


@pytest.mark.parametrize("missing", [MODEL, "golden.json", "contract.json"])
def test_an_artifact_without_what_it_needs_is_refused(tmp_path: Path, missing: str) -> None:
    folder = made(tmp_path / "a")
    (folder / missing).unlink()
    with pytest.raises(ArtifactCorrupt, match=missing):
        read(folder)
    write_manifest(folder)
    with pytest.raises(ArtifactCorrupt):
        read(folder)


def test_a_file_too_many_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path / "a")
    (folder / "repository/m/1/model.py").write_text("import os")
    with pytest.raises(ArtifactCorrupt, match=r"model\.py .* is in no manifest"):
        read(folder)


def test_what_is_no_artifact_is_a_bad_spec(tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match=r"holds no manifest\.json"):
        read(tmp_path)


def test_an_artifact_is_measured_again(artifact: Artifact, command: Command) -> None:
    code, last = command("evaluate", artifact.directory)
    assert code == 0
    assert last["digest"] == artifact.digest
    for name in ("accuracy", "sizeBytes"):
        assert last["metrics"][name]["value"] == artifact.result["metrics"][name]["value"]


def test_two_artifacts_are_compared_on_the_same_rows(artifact: Artifact, command: Command) -> None:
    code, last = command("compare", artifact.directory, artifact.directory)
    assert code == 0
    assert (last["before"], last["interface"]) == (artifact.digest, [])
    assert last["metrics"]["agreement"]["value"] == 1.0


def test_other_data_than_the_artifact_s_are_refused(artifact: Artifact, tmp_path: Path, command: Command) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact.directory, copy)
    manifest = artifacts.unsealed((copy / "manifest.json").read_text(), origin="copy")
    manifest["data"]["section"]["name"] = "wine"
    (copy / "manifest.json").write_text(artifacts.seal(manifest))
    code, last = command("evaluate", copy)
    assert (code, last["error"]["reason"]) == (4, "BadData")
    assert "are not those" in last["error"]["message"]


def test_a_client_that_can_not_ask_the_other_is_told(artifact: Artifact, tmp_path: Path, command: Command) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact.directory, copy)
    contract = json.loads((copy / "contract.json").read_text())
    contract["inputs"][0]["shape"] = [4, 4]
    (copy / "contract.json").write_text(json.dumps(contract))
    manifest = artifacts.unsealed((copy / "manifest.json").read_text(), origin="copy")
    files = artifacts.scan(copy)
    manifest |= {"digest": artifacts.digest_of(files), "files": [file.to_json() for file in files]}
    (copy / "manifest.json").write_text(artifacts.seal(manifest))
    code, last = command("compare", copy, artifact.directory)
    assert code == 4
    assert "input 'image' was FP32 [4, 4] and is FP32 [8, 8]" in last["error"]["message"]
