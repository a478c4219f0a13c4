"""The S3 store and source against a real server."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from model_builder.artifact import folder_name
from model_builder.errors import StorageError
from model_builder.stores import open_store
from tests.model_builder.conftest import Artifact, run_build, spec
from tests.model_builder.servers import S3Server

pytestmark = pytest.mark.real
Command = Callable[..., tuple[int, dict[str, Any]]]


def keys(bucket: str) -> list[str]:
    client = boto3.client("s3", region_name="us-east-1")
    try:
        listed = client.list_objects_v2(Bucket=bucket)
        return [entry["Key"] for entry in listed.get("Contents", [])]
    finally:
        client.close()


def test_an_artifact_goes_into_a_bucket_and_comes_back(
    bucket: str, artifact: Artifact, tmp_path: Path, command: Command
) -> None:
    uri = open_store(f"s3://{bucket}/releases/").put(artifact=artifact.directory, digest=artifact.digest)
    assert uri == f"s3://{bucket}/releases/{folder_name(artifact.digest)}"
    assert len(keys(bucket)) == 6
    code, last = command("pull", "--uri", uri, "--digest", artifact.digest, "--model", "digits", "--to", tmp_path)
    assert (code, last.get("error")) == (0, None)
    model = (tmp_path / "digits/1/model.onnx").read_bytes()
    assert model == (artifact.directory / "repository/digits/1/model.onnx").read_bytes()


def test_a_stored_artifact_is_not_uploaded_again_but_a_half_one_is_completed(bucket: str, artifact: Artifact) -> None:
    client = boto3.client("s3", region_name="us-east-1")
    store = open_store(f"s3://{bucket}")
    folder = store.put(artifact=artifact.directory, digest=artifact.digest).removeprefix(f"s3://{bucket}/")
    model = f"{folder}/repository/digits/1/model.onnx"
    client.delete_object(Bucket=bucket, Key=model)
    client.delete_object(Bucket=bucket, Key=f"{folder}/manifest.json")
    before = {key: client.head_object(Bucket=bucket, Key=key)["LastModified"] for key in keys(bucket)}
    store.put(artifact=artifact.directory, digest=artifact.digest)
    assert {model, f"{folder}/manifest.json"} == set(keys(bucket)) - set(before)
    assert before == {key: client.head_object(Bucket=bucket, Key=key)["LastModified"] for key in before}
    client.close()


def test_a_changed_object_is_refused_by_name(bucket: str, artifact: Artifact, tmp_path: Path, command: Command) -> None:
    uri = open_store(f"s3://{bucket}").put(artifact=artifact.directory, digest=artifact.digest)
    client = boto3.client("s3", region_name="us-east-1")
    key = f"{folder_name(artifact.digest)}/repository/digits/1/model.onnx"
    client.put_object(Bucket=bucket, Key=key, Body=b"other")
    client.close()
    code, last = command("pull", "--uri", uri, "--digest", artifact.digest, "--model", "digits", "--to", tmp_path)
    assert (code, last["error"]["reason"]) == (4, "ArtifactCorrupt")
    assert "repository/digits/1/model.onnx" in last["error"]["message"]
    assert not (tmp_path / "digits").exists()


def test_a_byte_that_flipped_on_the_server_s_disk_is_put_right_by_the_next_build(
    bucket: str, artifact: Artifact, tmp_path: Path, command: Command, s3_server: S3Server
) -> None:
    """The server goes on giving the checksum of what it once got: only reading finds it."""
    store = open_store(f"s3://{bucket}")
    uri = store.put(artifact=artifact.directory, digest=artifact.digest)
    for name in ("repository/digits/1/model.onnx", "golden.json"):
        path = s3_server.buckets / bucket / folder_name(artifact.digest) / name
        content = path.read_bytes()
        with path.open("r+b") as file:  # in place: what the server knows of it lies beside the bytes
            file.seek(len(content) // 2)
            file.write(bytes([content[len(content) // 2] ^ 1]))
        asked = ("pull", "--uri", uri, "--digest", artifact.digest, "--model", "digits", "--to", tmp_path)
        assert command(*asked)[1]["error"]["reason"] == "ArtifactCorrupt"
        assert store.put(artifact=artifact.directory, digest=artifact.digest) == uri
        assert command(*asked)[0] == 0


def test_a_source_is_read_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from model_builder.architectures import REGISTRY

    save_file(REGISTRY["digits-cnn"]().network.state_dict(), tmp_path / "x.safetensors")
    client = boto3.client("s3", region_name="us-east-1")
    client.upload_file(str(tmp_path / "x.safetensors"), bucket, "in/x.safetensors")
    client.close()
    run_build(spec(source={"uri": f"s3://{bucket}/in/x.safetensors"}), out=tmp_path / "out")
    assert json.loads((tmp_path / "out/manifest.json").read_text())["source"]["digest"].startswith("sha256:")


def wrong_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")


def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")


def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")


@pytest.mark.parametrize(
    ("trouble", "reason", "sentence"),
    [
        (wrong_secret, "StoreDenied", "check its policy and the credentials"),
        (no_credentials, "StoreDenied", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (nobody_listens, "StoreUnreachable", "check AWS_ENDPOINT_URL and the network"),
        (no_address, "StoreUnreachable", "check AWS_ENDPOINT_URL and the network"),
    ],
)
def test_a_store_that_does_not_serve_us_is_explained(
    trouble: Callable[[pytest.MonkeyPatch], None],
    reason: str,
    sentence: str,
    bucket: str,
    artifact: Artifact,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = open_store(f"s3://{bucket}").put(artifact=artifact.directory, digest=artifact.digest)
    trouble(monkeypatch)
    with pytest.raises(StorageError) as caught:
        open_store(f"s3://{bucket}").put(artifact=artifact.directory, digest=artifact.digest)
    with pytest.raises(StorageError, match=re.escape(sentence)):  # and before an hour of training, too
        run_build(spec(), out=tmp_path / "out", store=f"s3://{bucket}")
    assert (caught.value.reason, caught.value.exit_code) == (reason, 5)
    assert sentence in str(caught.value)
    code, last = command("pull", "--uri", uri, "--digest", artifact.digest, "--model", "digits", "--to", tmp_path / "m")
    assert (code, last["error"]["reason"]) == (5, reason)


@pytest.mark.parametrize("kind", ["bucket", "object"])
def test_what_is_missing_is_named(kind: str, bucket: str, artifact: Artifact, tmp_path: Path, command: Command) -> None:
    name = "no-such-bucket" if kind == "bucket" else bucket
    code, last = command(
        "pull", "--uri", f"s3://{name}/nothing", "--digest", artifact.digest, "--model", "m", "--to", tmp_path
    )
    assert (code, last["error"]["reason"]) == (5, "ArtifactMissing")
    assert name in last["error"]["message"]


def test_a_missing_bucket_is_named_when_storing(bucket: str, artifact: Artifact) -> None:
    with pytest.raises(StorageError, match="there is no bucket 'no-such-bucket'"):
        open_store("s3://no-such-bucket/x").put(artifact=artifact.directory, digest=artifact.digest)
