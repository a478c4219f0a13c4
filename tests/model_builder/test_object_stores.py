"""Object stores of three makers, each against a real server, through the one client that the builder has."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_builder import artifact as artifacts
from model_builder import remote
from model_builder.errors import ArtifactCorrupt, BadData, StorageError
from model_builder.remote import object_bucket
from model_builder.remote.object_bucket import Bucket
from model_builder.signing import Signer, verify
from model_builder.stores import open_store
from tests.model_builder import servers
from tests.model_builder.samples import make_artifact, make_keys, make_whole

pytestmark = pytest.mark.real
_SERVERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[object]]] = {
    "s3": servers.s3,
    "gs": servers.gcs,
    "az": servers.azure,
}


@pytest.fixture(scope="module", params=list(_SERVERS))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, object]]:
    with _SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as server:
        yield request.param, server


@pytest.fixture
def bucket(served: tuple[str, object], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bucket:
    scheme, server = served
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    environment = server.environment if isinstance(server, servers.S3Server) else server
    assert isinstance(environment, dict)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    name = f"b{abs(hash(request.node.name)) % 10**9}"
    opened = Bucket.open(scheme, name)
    opened.files.mkdir(name)
    return opened


def uri(bucket: Bucket, path: str = "") -> str:
    return f"{bucket.scheme}://{bucket.name}/{path}".rstrip("/")


def put(bucket: Bucket, key: str, content: bytes) -> None:
    bucket.files.pipe_file(f"{bucket.name}/{key}", content)


def keys(bucket: Bucket) -> list[str]:
    return [entry.key for entry in bucket.find("")]


def test_an_artifact_goes_in_and_comes_back_bit_for_bit(bucket: Bucket, tmp_path: Path) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    stored = open_store(uri(bucket, "releases/")).put(artifact=folder, digest=digest)
    assert stored == uri(bucket, f"releases/{artifacts.folder_name(digest)}")
    for file in (*artifacts.scan(folder), artifacts.FileEntry(artifacts.MANIFEST, "", 0)):
        open_store(stored).fetch(path=file.path, to=tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == (folder / file.path).read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("copy")] == ["copy"]


def test_an_upload_that_was_cut_off_is_completed_without_sending_again_what_is_there(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    store = open_store(uri(bucket))
    upload = Bucket.upload
    sent: list[str] = []

    def counted(self: Bucket, path: Path, *, key: str) -> None:
        if len(sent) == 2:
            raise KeyboardInterrupt
        sent.append(key)
        upload(self, path, key=key)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "upload", counted)
        with pytest.raises(KeyboardInterrupt):
            store.put(artifact=folder, digest=digest)
    assert len(keys(bucket)) == 2
    assert not any(key.endswith(artifacts.MANIFEST) for key in keys(bucket))
    again: list[str] = []

    def recorded(self: Bucket, path: Path, *, key: str) -> None:
        again.append(key)
        upload(self, path, key=key)

    monkeypatch.setattr(Bucket, "upload", recorded)
    store.put(artifact=folder, digest=digest)
    assert not set(again) & set(sent)
    assert len(keys(bucket)) == len(artifacts.scan(folder)) + 1


def test_a_signature_follows_to_where_the_artifact_is(bucket: Bucket, tmp_path: Path) -> None:
    private, public = make_keys(tmp_path, "key")
    unsigned, digest = make_whole(tmp_path / "unsigned", createdAt="earlier")
    signed, _ = make_whole(tmp_path / "signed", createdAt="later")
    Signer.open(private).sign(signed)
    stored = open_store(uri(bucket)).put(artifact=unsigned, digest=digest)
    assert not open_store(stored).has(artifacts.SIGNATURE)
    for folder in (signed, unsigned):
        open_store(uri(bucket)).put(artifact=folder, digest=digest)
    fetched = remote.fetch(stored, to=tmp_path / "fetched", limit=10**6, where="test")
    assert verify(fetched, public_key=public, origin="the store").files.keys() >= {artifacts.MANIFEST}


def test_a_damaged_or_missing_object_of_a_stored_artifact_is_sent_again(bucket: Bucket, tmp_path: Path) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    store = open_store(uri(bucket))
    store.put(artifact=folder, digest=digest)
    first, second = [key for key in keys(bucket) if "repository" in key]
    content = bucket.files.cat_file(f"{bucket.name}/{first}")
    put(bucket, first, content[::-1])
    bucket.files.rm_file(f"{bucket.name}/{second}")
    store.put(artifact=folder, digest=digest)
    assert bucket.files.cat_file(f"{bucket.name}/{first}") == content
    assert second in keys(bucket)


def test_a_damaged_manifest_of_a_stored_artifact_is_sent_again(bucket: Bucket, tmp_path: Path) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    store = open_store(uri(bucket))
    store.put(artifact=folder, digest=digest)
    (manifest,) = [key for key in keys(bucket) if key.endswith(artifacts.MANIFEST)]
    content = bucket.files.cat_file(f"{bucket.name}/{manifest}")
    put(bucket, manifest, content.replace(b"sha256:", b"sha257:"))
    store.put(artifact=folder, digest=digest)
    assert bucket.files.cat_file(f"{bucket.name}/{manifest}") == content


def test_a_missing_file_of_an_artifact_is_named(bucket: Bucket, tmp_path: Path) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    stored = open_store(uri(bucket)).put(artifact=folder, digest=digest)
    with pytest.raises(ArtifactCorrupt, match=r"model\.onnx of .* is missing"):
        open_store(stored).fetch(path="repository/m/9/model.onnx", to=tmp_path / "copy")


def test_a_file_or_a_folder_is_fetched_as_a_source(bucket: Bucket, tmp_path: Path) -> None:
    for key, content in {"in/a.csv": b"a", "in/deep/b.csv": b"bb", "inside.csv": b"c"}.items():
        put(bucket, key, content)
    path = remote.fetch(uri(bucket, "in/a.csv"), to=tmp_path / "file", limit=10, where="source")
    assert path.read_bytes() == b"a"
    path = remote.fetch(uri(bucket, "in"), to=tmp_path / "folder", limit=10, where="source")
    found = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert found == {"a.csv": b"a", "deep/b.csv": b"bb"}
    with pytest.raises(BadData, match="has 3 bytes, allowed are 2"):
        remote.fetch(uri(bucket, "in"), to=tmp_path / "more", limit=2, where="source")
    with pytest.raises(StorageError, match="there is nothing at") as caught:
        remote.fetch(uri(bucket, "absent"), to=tmp_path / "more", limit=2, where="source")
    assert caught.value.reason == "ArtifactMissing"


def test_a_download_that_was_cut_off_goes_on_where_it_was(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(1000)
    put(bucket, "x.bin", content)
    entry = bucket.info("x.bin")
    assert entry is not None
    monkeypatch.setattr(object_bucket, "_BLOCK", 300)
    asked: list[int] = []
    ask = bucket.files.cat_file

    def cut_off(path: str, *, start: int, end: int) -> bytes:
        asked.append(start)
        if len(asked) == 3:
            raise ConnectionResetError("cut off")
        return bytes(ask(path, start=start, end=end))

    monkeypatch.setattr(bucket.files, "cat_file", cut_off)
    with pytest.raises(StorageError, match="cut off"):
        bucket.download(entry, to=tmp_path / "x.bin")
    assert not (tmp_path / "x.bin").exists()
    bucket.download(entry, to=tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == content
    assert asked == [0, 300, 600, 600, 900]
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_an_object_that_changed_meanwhile_is_not_mixed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "x.bin", b"a" * 100)
    entry = bucket.info("x.bin")
    assert entry is not None
    put(bucket, "x.bin", b"b" * 100)
    with pytest.raises(StorageError, match="was changed while it was read"):
        bucket.download(entry, to=tmp_path / "x.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_bucket_is_named(bucket: Bucket, tmp_path: Path) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    absent = f"{bucket.scheme}://no-such-bucket/x"
    for attempt in (
        open_store(absent).check,
        lambda: open_store(absent).put(artifact=folder, digest=digest),
        lambda: remote.fetch(absent, to=tmp_path / "to", limit=9, where="source"),
    ):
        with pytest.raises(StorageError, match="there is no bucket 'no-such-bucket'") as caught:
            attempt()
        assert caught.value.reason == "ArtifactMissing"


def nobody_listens(scheme: str) -> dict[str, str]:
    account = "AccountName=a;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:9/a;DefaultEndpointsProtocol=http;"
    return {
        "s3": {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        "gs": {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"},
        "az": {"AZURE_STORAGE_CONNECTION_STRING": account},
    }[scheme]


def test_a_store_where_nobody_listens_is_unreachable(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in nobody_listens(bucket.scheme).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageError, match="and the network") as caught:
        open_store(uri(bucket)).check()
    assert caught.value.reason == "StoreUnreachable"


def test_a_wrong_key_is_denied(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    if bucket.scheme == "gs":
        pytest.skip("the server for Google's API knows no keys")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    known = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", known.replace("AccountKey=E", "AccountKey=F"))
    with pytest.raises(StorageError) as caught:
        open_store(uri(bucket)).check()
    assert caught.value.reason == "StoreDenied", json.dumps(str(caught.value))
