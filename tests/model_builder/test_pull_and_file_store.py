import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_builder.artifact import CONTRACT, MANIFEST, digest_of, folder_name, lists, parse_files, scan
from model_builder.errors import ArtifactCorrupt, BadSpec, StorageError
from model_builder.stores import open_store
from tests.model_builder.conftest import PYTHON, TRAIN, Artifact, run_build, spec
from tests.model_builder.samples import make_artifact

Command = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def stored(artifact: Artifact, tmp_path: Path) -> Path:
    """A copy of the artifact in a file store; its folder."""
    uri = open_store((tmp_path / "store").as_uri()).put(artifact=artifact.directory, digest=artifact.digest)
    folder = tmp_path / "store" / folder_name(artifact.digest)
    assert uri == folder.as_uri()
    return folder


def pull(command: Command, folder: Path, digest: str, to: Path, *more: str) -> tuple[int, dict[str, Any]]:
    return command("pull", "--uri", folder.as_uri(), "--digest", digest, "--model", "digits", "--to", to, *more)


def test_a_pulled_model_is_laid_out_for_its_serving_configuration(
    stored: Path, artifact: Artifact, tmp_path: Path, command: Command
) -> None:
    to = tmp_path / "models"
    log = tmp_path / "log"
    serving = (
        "--backend",
        "python",
        "--serving",
        '{"maxBatchSize": 4, "revision": "r7"}',
        "--termination-log",
        str(log),
    )
    code, last = pull(command, stored, artifact.digest, to, *serving)
    assert code == 0
    assert json.loads(log.read_text()) == last
    assert (last["digest"], last["model"]) == (artifact.digest, "digits")
    config = (to / "digits/config.pbtxt").read_text()
    assert 'backend: "python"' in config
    assert "max_batch_size: 4" in config
    assert 'value: "r7"' in config
    model = (to / "digits/1/model.onnx").read_bytes()
    assert model == (artifact.directory / "repository/digits/1/model.onnx").read_bytes()
    assert [path.name for path in to.iterdir()] == ["digits"]


def test_a_model_may_be_served_under_another_name_and_pulled_twice(
    stored: Path, artifact: Artifact, tmp_path: Path, command: Command
) -> None:
    arguments = (
        "pull",
        "--uri",
        stored.as_uri(),
        "--digest",
        artifact.digest,
        "--model",
        "numbers",
        "--to",
        tmp_path / "m",
    )
    assert command(*arguments)[0] == 0
    assert command(*arguments)[0] == 0
    assert (tmp_path / "m/numbers/config.pbtxt").read_text().startswith('name: "numbers"\n')


def test_one_changed_byte_anywhere_is_found_and_named(
    stored: Path, artifact: Artifact, tmp_path: Path, command: Command
) -> None:
    names = [entry.path for entry in scan(stored)]
    assert len(names) == 5
    for name in names:
        content = (stored / name).read_bytes()
        middle = len(content) // 2
        (stored / name).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        code, last = pull(command, stored, artifact.digest, tmp_path / "models")
        assert (code, last["error"]["reason"]) == (4, "ArtifactCorrupt"), name
        assert name in last["error"]["message"]
        assert list((tmp_path / "models").iterdir()) == []
        (stored / name).write_bytes(content)


@pytest.mark.parametrize("name", [CONTRACT, "repository/digits/1/model.onnx", MANIFEST])
def test_a_missing_file_is_named(name: str, stored: Path, artifact: Artifact, tmp_path: Path, command: Command) -> None:
    (stored / name).unlink()
    code, last = pull(command, stored, artifact.digest, tmp_path / "models")
    assert (code, last["error"]["reason"]) == (4, "ArtifactCorrupt")
    assert name in last["error"]["message"]


def test_a_consistent_artifact_with_another_digest_is_refused(
    stored: Path, artifact: Artifact, tmp_path: Path, command: Command
) -> None:
    config = stored / "repository/digits/config.pbtxt"
    config.write_text(config.read_text() + "# mine\n")
    manifest = json.loads((stored / MANIFEST).read_text())
    manifest["files"] = [entry.to_json() for entry in scan(stored)]
    (stored / MANIFEST).write_text(json.dumps(manifest))
    code, last = pull(command, stored, artifact.digest, tmp_path / "models")
    assert (code, last["error"]["reason"]) == (4, "ArtifactCorrupt")
    assert digest_of(scan(stored)) in last["error"]["message"]
    assert artifact.digest in last["error"]["message"]


def test_golden_requests_can_not_be_swapped(stored: Path, artifact: Artifact, tmp_path: Path, command: Command) -> None:
    (stored / "golden.json").write_text("{}")
    manifest = json.loads((stored / MANIFEST).read_text())
    manifest["files"] = [entry.to_json() for entry in scan(stored)]
    (stored / MANIFEST).write_text(json.dumps(manifest))
    code, last = pull(command, stored, artifact.digest, tmp_path / "models")
    assert (code, last["error"]["reason"]) == (4, "ArtifactCorrupt")
    assert "golden.json" in last["error"]["message"]


@pytest.mark.parametrize(
    "path", ["../evil", "/etc/passwd", "repository/../../evil", "repository//x", "else/x", "", ".", "repository/a\0b"]
)
def test_a_manifest_can_not_name_a_file_outside(path: str) -> None:
    manifest = json.dumps({"files": [{"path": path, "sha256": "0", "bytes": 0}]})
    with pytest.raises(ArtifactCorrupt, match="which no artifact has"):
        parse_files(manifest, origin="s3://bucket/x")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": [1]}', "\0", "[" * 100_000])
def test_a_damaged_manifest_is_named(text: str) -> None:
    with pytest.raises(ArtifactCorrupt, match=r"manifest\.json of s3://bucket/x is not readable"):
        parse_files(text, origin="s3://bucket/x")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--uri", "file:///absent", "--digest", "sha256:" + "0" * 64), "there is no artifact at /absent"),
        (("--uri", "file:///absent", "--digest", "sha256:123"), "64 lower-case hexadecimal digits"),
        (("--uri", "http://x/y", "--digest", "sha256:" + "0" * 64), "schemes: known: az, file, gs, oci, s3"),
        (("--uri", "file://host/y", "--digest", "sha256:" + "0" * 64), "three slashes"),
    ],
)
def test_a_wrong_address_is_explained(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, command: Command
) -> None:
    code, last = command("pull", *arguments, "--model", "m", "--to", tmp_path)
    assert code in (2, 5)
    assert sentence in last["error"]["message"]


@pytest.mark.parametrize("name", ["../m", "a/b", "", ".", "-m", "m\n"])
def test_a_model_name_can_not_leave_the_repository(
    name: str, stored: Path, artifact: Artifact, tmp_path: Path, command: Command
) -> None:
    code, last = command(
        "pull", "--uri", stored.as_uri(), "--digest", artifact.digest, f"--model={name}", "--to", tmp_path / "models"
    )
    assert (code, last["error"]["reason"]) == (2, "BadSpec")


def test_pulling_needs_no_machine_learning_library(stored: Path, artifact: Artifact, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom model_builder.cli import main\ncode = main(sys.argv[1:])\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'sklearn', 'numpy', 'yaml', 'rich'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else code)\n"
    )
    arguments = [
        "pull",
        "--uri",
        stored.as_uri(),
        "--digest",
        artifact.digest,
        "--model",
        "m",
        "--to",
        str(tmp_path / "m"),
    ]
    done = subprocess.run([PYTHON, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m/m/config.pbtxt").is_file()


def test_what_is_stored_already_is_not_written_again(stored: Path, artifact: Artifact) -> None:
    before = {path: path.stat().st_mtime_ns for path in stored.rglob("*")}
    open_store(stored.parent.as_uri()).put(artifact=artifact.directory, digest=artifact.digest)
    assert {path: path.stat().st_mtime_ns for path in stored.rglob("*")} == before
    assert list(stored.parent.iterdir()) == [stored]


@pytest.mark.parametrize("damage", ["changed", "half"])
def test_a_damaged_artifact_is_replaced_by_the_next_build(damage: str, stored: Path, artifact: Artifact) -> None:
    model = stored / "repository/digits/1/model.onnx"
    if damage == "changed":
        model.write_bytes(b"bit rot")
    else:
        (stored / MANIFEST).unlink()
        shutil.rmtree(stored / "repository")
    open_store(stored.parent.as_uri()).put(artifact=artifact.directory, digest=artifact.digest)
    assert digest_of(scan(stored)) == artifact.digest
    assert list(stored.parent.iterdir()) == [stored]


def test_one_flipped_byte_anywhere_is_put_right_by_the_next_build(
    stored: Path, artifact: Artifact, tmp_path: Path, command: Command
) -> None:
    """Also in what the digest covers through another file, or not at all: the golden requests, the manifest."""
    for name in [*(entry.path for entry in scan(stored)), MANIFEST]:
        content = (stored / name).read_bytes()
        middle = len(content) // 2
        (stored / name).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        open_store(stored.parent.as_uri()).put(artifact=artifact.directory, digest=artifact.digest)
        assert (stored / name).read_bytes() == content, name
    assert pull(command, stored, artifact.digest, tmp_path / "models")[0] == 0
    assert list(stored.parent.iterdir()) == [stored]


def test_a_whole_manifest_of_other_files_is_not_that_of_an_artifact(tmp_path: Path) -> None:
    folder, _ = make_artifact(tmp_path / "one")
    text, files = (folder / MANIFEST).read_text(), scan(folder)
    assert lists(text, files=files)
    assert not lists(text, files=files[1:])
    assert not lists(text.replace("sha256:", "sha257:"), files=files)


@pytest.mark.deep
def test_a_build_that_comes_from_the_cache_is_put_into_the_store_all_the_same(tmp_path: Path, command: Command) -> None:
    store, cache, raw = tmp_path / "store", tmp_path / "cache", spec(TRAIN)
    first = run_build(raw, out=tmp_path / "first", store=store.as_uri(), cache=cache)
    (folder,) = store.iterdir()
    model = folder / "repository/digits/1/model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    again = run_build(raw, out=tmp_path / "again", store=store.as_uri(), cache=cache)
    assert (again["digest"], again["uri"]) == (first["digest"], first["uri"])
    assert pull(command, folder, first["digest"], tmp_path / "models")[0] == 0


def test_stored_files_can_be_read_by_another_user(stored: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    for path in [stored, *stored.rglob("*")]:
        assert path.stat().st_mode & 0o005 == (0o005 if path.is_dir() else 0o004) & ~mask


def test_a_store_that_can_not_be_written_is_explained(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StorageError, match="can't be used"):
        open_store((tmp_path / "file" / "store").as_uri()).put(artifact=artifact.directory, digest=artifact.digest)


def test_a_relative_store_is_refused() -> None:
    with pytest.raises(BadSpec, match="three slashes"):
        open_store("file://artifacts/releases")
