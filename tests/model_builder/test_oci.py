"""Artifacts as images: in a layout on disk, and in a real registry."""

import base64
import io
import json
import os
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_builder import artifact as artifacts
from model_builder import remote
from model_builder.errors import ArtifactCorrupt, BadData, BadSpec, StorageError
from model_builder.remote import oci_blobs, oci_http, oci_registry
from model_builder.remote.oci import Reference
from model_builder.remote.oci_layout import Layout
from model_builder.stores import open_store
from tests.model_builder import servers
from tests.model_builder.samples import make_artifact

#: bcrypt of "secret", as the registry wants it.
USERS = "tester:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
ALL = [pytest.param("layout"), pytest.param("registry", marks=pytest.mark.real)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(params=ALL)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "layout":
        return f"oci://{tmp_path / 'layout'}"
    return f"oci://{request.getfixturevalue('registry')}/team/b{abs(hash(request.node.name)) % 10**9}"


def fetched(uri: str, path: str, to: Path) -> bytes:
    open_store(uri).fetch(path=path, to=to)
    return to.read_bytes()


def names(folder: Path) -> list[str]:
    return [*(file.path for file in artifacts.scan(folder)), artifacts.MANIFEST]


def test_an_artifact_goes_in_and_comes_back_bit_for_bit(store: str, tmp_path: Path) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    open_store(store).check()
    uri = open_store(store).put(artifact=folder, digest=digest)
    assert uri == f"{store}:{artifacts.folder_name(digest)}"
    for name in names(folder):
        assert fetched(uri, name, tmp_path / "copy") == (folder / name).read_bytes()
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy"]


def test_an_image_is_one_that_a_container_runtime_can_mount(store: str, tmp_path: Path) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    uri = open_store(store).put(artifact=folder, digest=digest)
    reference = Reference.parse(uri, where="test")
    manifest = reference.manifest()
    assert manifest is not None
    reference.repository.download(manifest["config"]["digest"], manifest["config"]["size"], to=tmp_path / "config")
    config = json.loads((tmp_path / "config").read_text())
    # The layers are not compressed, so that a layer's own digest is the one that the config names.
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    path = remote.fetch(uri, to=tmp_path / "files", limit=10**6, where="test")
    found = {file.relative_to(path / "models").as_posix() for file in path.rglob("*") if file.is_file()}
    assert found == set(names(folder))
    total = sum((folder / name).stat().st_size for name in names(folder))
    with pytest.raises(BadData, match=r"allowed are|unpacks to more than"):
        remote.fetch(uri, to=tmp_path / "again", limit=total - 1, where="test")


def test_the_same_artifact_gives_the_same_layers_and_is_stored_once(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    other, _ = make_artifact(tmp_path / "other")
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    open_store(store).put(artifact=folder, digest=digest)
    uploads: list[str] = []
    for kind in (Layout, oci_registry.Registry):
        monkeypatch.setattr(kind, "upload", lambda self, path, *, digest: uploads.append(digest))
    open_store(store).put(artifact=other, digest=digest)
    assert uploads == []


def test_an_upload_that_was_cut_off_is_completed(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    kind: Any = Layout if "layout" in store else oci_registry.Registry
    upload = kind.upload
    sent: list[str] = []

    def cut_off(self: Any, path: Path, *, digest: str) -> None:
        if len(sent) == 3:
            raise KeyboardInterrupt
        sent.append(digest)
        upload(self, path, digest=digest)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "upload", cut_off)
        with pytest.raises(KeyboardInterrupt):
            open_store(store).put(artifact=folder, digest=digest)
    tag = f"{store}:{artifacts.folder_name(digest)}"
    with pytest.raises(StorageError, match="there is no artifact at"):
        open_store(tag).fetch(path=artifacts.MANIFEST, to=tmp_path / "copy")
    again: list[str] = []

    def counted(self: Any, path: Path, *, digest: str) -> None:
        again.append(digest)
        upload(self, path, digest=digest)

    monkeypatch.setattr(kind, "upload", counted)
    open_store(store).put(artifact=folder, digest=digest)
    assert again
    assert not set(again) & set(sent)
    assert fetched(tag, artifacts.CONTRACT, tmp_path / "copy") == b"{}"


def test_a_missing_image_and_a_missing_file_are_named(store: str, tmp_path: Path) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    uri = open_store(store).put(artifact=folder, digest=digest)
    with pytest.raises(StorageError, match="there is no artifact at") as caught:
        open_store(f"{store}:absent").fetch(path=artifacts.MANIFEST, to=tmp_path / "copy")
    assert caught.value.reason == "ArtifactMissing"
    with pytest.raises(ArtifactCorrupt, match=r"repository/m/2/model\.onnx of .* is missing"):
        open_store(uri).fetch(path="repository/m/2/model.onnx", to=tmp_path / "copy")


@pytest.mark.parametrize(
    "uri",
    [
        "oci://",
        "oci://host",
        "oci://Host/UPPER",
        "oci://h/a:t@sha256:12",
        "oci://h/../x",
        "oci://h/a b",
        "oci://h/a::b",
    ],
)
def test_what_names_no_repository_is_refused(uri: str) -> None:
    with pytest.raises(BadSpec, match="oci://HOST/REPOSITORY"):
        open_store(uri)


def test_a_flipped_byte_in_a_layout_is_found_named_and_repaired_by_storing_again(tmp_path: Path) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    store = f"oci://{tmp_path / 'layout'}"
    uri = open_store(store).put(artifact=folder, digest=digest)
    manifest = Reference.parse(uri, where="test").manifest()
    assert manifest is not None
    files = {each["digest"][7:]: f"{each['annotations']['dev.modelrelease.path']} of .*" for each in manifest["layers"]}
    blobs = sorted((tmp_path / "layout/blobs/sha256").iterdir())
    assert len(blobs) == len(names(folder)) + 2
    for blob in blobs:
        content = blob.read_bytes()
        blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        if not manifest["config"]["digest"].endswith(blob.name):  # nobody but a container runtime reads the config
            with pytest.raises(ArtifactCorrupt, match=files.get(blob.name, "") + blob.name):
                [fetched(uri, name, tmp_path / "copy") for name in names(folder)]
        open_store(store).put(artifact=folder, digest=digest)
        assert blob.read_bytes() == content


def layout_with_layer(folder: Path, entries: list[tarfile.TarInfo], *, media_type: str) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    (folder / "blob").write_bytes(buffer.getvalue())
    layout = Layout(folder / "layout")
    digest = oci_blobs.digest_of(buffer.getvalue())
    layout.upload(folder / "blob", digest=digest)
    layer = {"mediaType": media_type, "digest": digest, "size": len(buffer.getvalue())}
    layout.tag(json.dumps({"schemaVersion": 2, "config": {}, "layers": [layer]}).encode(), name="x")
    return f"oci://{folder / 'layout'}:x"


def test_an_image_can_not_write_outside_of_its_folder(tmp_path: Path) -> None:
    link = tarfile.TarInfo("models/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    device = tarfile.TarInfo("models/device")
    device.type = tarfile.CHRTYPE
    for entry in (tarfile.TarInfo("../escaped"), tarfile.TarInfo("/escaped"), link, device):
        uri = layout_with_layer(tmp_path, [entry], media_type="application/vnd.oci.image.layer.v1.tar")
        with pytest.raises(BadData, match=r"which leads out of the archive|which is a link or a device"):
            remote.fetch(uri, to=tmp_path / "to", limit=10**6, where="test")
    uri = layout_with_layer(tmp_path, [tarfile.TarInfo("x")], media_type="application/x-unknown")
    with pytest.raises(BadData, match="neither a tar nor a file with a name"):
        remote.fetch(uri, to=tmp_path / "to", limit=10**6, where="test")
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    "damage", ["[]", "{}", '{"layers": [{}]}', "\xff", '{"layers": [{"digest": "../x", "size": 1}]}']
)
def test_a_manifest_that_is_none_is_corrupt(damage: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    layout.tag(damage.encode("latin-1"), name="x")
    with pytest.raises(ArtifactCorrupt):
        Reference(layout, "x").manifest()


# --- what only a registry can do ---


@pytest.mark.real
def test_a_download_goes_on_where_the_connection_broke(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(100_000)
    (tmp_path / "blob").write_bytes(content)
    repository = Reference.parse(f"oci://{registry}/resume", where="test").repository
    repository.upload(tmp_path / "blob", digest=oci_blobs.digest_of(content))
    asked: list[dict[str, str]] = []
    ask = oci_http.Client.ask

    def breaking(self: oci_http.Client, method: str, url: str, **rest: Any) -> oci_http.Answer:
        answer = ask(self, method, url, **rest)
        asked.append(dict(rest.get("headers") or {}))
        if len(asked) == 1:
            return oci_http.Answer(answer.status, answer.headers, io.BytesIO(answer.body.read(40_000)))
        return answer

    monkeypatch.setattr(oci_http.Client, "ask", breaking)
    repository.download(oci_blobs.digest_of(content), len(content), to=tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    assert asked == [{}, {"Range": "bytes=40000-"}]


@pytest.mark.real
def test_a_blob_that_the_registry_spoilt_is_named_when_the_artifact_is_stored_again(tmp_path: Path) -> None:
    """No upload replaces it, so that the build must not end as if all were well."""
    folder, digest = make_artifact(tmp_path / "artifact")
    with servers.registry(tmp_path) as host:
        store = open_store(f"oci://{host}/spoilt")
        uri = store.put(artifact=folder, digest=digest)
        manifest = Reference.parse(uri, where="test").manifest()
        assert manifest is not None
        blob = manifest["layers"][0]["digest"]
        (data,) = (tmp_path / "images").rglob(f"{blob[7:]}/data")
        content = data.read_bytes()
        data.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ArtifactCorrupt, match=f"{blob} has other bytes .* delete it from its storage"):
            store.put(artifact=folder, digest=digest)
        data.unlink()
        assert store.put(artifact=folder, digest=digest) == uri
        assert data.read_bytes() == content


@pytest.mark.real
def test_an_upload_goes_on_where_the_registry_says_that_it_got_to(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(1000)
    (tmp_path / "blob").write_bytes(content)
    repository = Reference.parse(f"oci://{registry}/resume", where="test").repository
    monkeypatch.setattr(oci_registry, "_CHUNK", 300)
    ask = oci_http.Client.ask
    lost: list[str] = []

    def losing(self: oci_http.Client, method: str, url: str, **rest: Any) -> oci_http.Answer:
        answer = ask(self, method, url, **rest)
        if method == "PATCH" and not lost:
            lost.append(url)  # the piece arrived, its answer did not
            raise StorageError("the answer is lost")
        return answer

    monkeypatch.setattr(oci_http.Client, "ask", losing)
    repository.upload(tmp_path / "blob", digest=oci_blobs.digest_of(content))
    repository.download(oci_blobs.digest_of(content), 1000, to=tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.registry(tmp_path_factory.mktemp("guarded"), users=USERS) as host:
        yield host


def log_in(folder: Path, host: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = base64.b64encode(f"tester:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


@pytest.mark.real
def test_a_registry_that_asks_for_a_password_gets_that_of_the_pull_secret(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, digest = make_artifact(tmp_path / "artifact")
    store = f"oci://{guarded}/team/model"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(StorageError, match="asks who we are") as caught:
        open_store(store).check()
    assert caught.value.reason == "StoreDenied"
    log_in(tmp_path, guarded, "wrong", monkeypatch)
    with pytest.raises(StorageError, match="refuses access") as caught:
        open_store(store).check()
    assert caught.value.reason == "StoreDenied"
    log_in(tmp_path, guarded, "secret", monkeypatch)
    uri = open_store(store).put(artifact=folder, digest=digest)
    assert fetched(uri, artifacts.CONTRACT, tmp_path / "copy") == b"{}"
    # The same text in a variable, as a Secret of a cluster comes; it counts before the file.
    text = (tmp_path / "config.json").read_text()
    log_in(tmp_path, guarded, "wrong", monkeypatch)
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", text)
    assert fetched(uri, artifacts.CONTRACT, tmp_path / "copy") == b"{}"


def test_a_registry_where_nobody_listens_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"the registry 127\.0\.0\.1:9 can't be used") as caught:
        open_store("oci://127.0.0.1:9/x").check()
    assert caught.value.reason == "StoreUnreachable"


def test_the_password_does_not_follow_a_redirect_to_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = oci_http.Client(host="127.0.0.1:5000", repository="x")
    client._token["pull"] = "Basic c2VjcmV0"
    sent: list[urllib.request.Request] = []

    def opened(request: urllib.request.Request, **_: object) -> Any:
        sent.append(request)
        raise OSError("enough")

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    for url in (f"{client.base}/blobs/x", "https://elsewhere.example/blob"):
        with pytest.raises(StorageError):
            client.ask("GET", url, expected=(200,))
    assert sent[0].unredirected_hdrs == {"Authorization": "Basic c2VjcmV0"}
    assert "Authorization" not in sent[0].headers
    assert sent[1].unredirected_hdrs == {}
