"""What is read again, and what an earlier build remembers: by identities that places give without being read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from model_builder import graph_file, remote
from model_builder.cache import Cache
from model_builder.decode import decode
from model_builder.inputs import Inputs
from model_builder.progress import SilentReporter
from model_builder.remote import object_bucket
from model_builder.remote.oci import TITLE
from model_builder.remote.oci_blobs import MANIFEST_TYPE, file_digest
from model_builder.remote.oci_layout import Layout
from model_builder.spec import Spec
from tests.model_builder.conftest import spec
from tests.model_builder.test_external_data import product

Origin = Callable[..., str]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URIs that were fetched, in their order."""
    told, fetch = list[str](), remote.fetch

    def counting(uri: str, **options: Any) -> Path:
        told.append(uri)
        return fetch(uri, **options)

    monkeypatch.setattr(remote, "fetch", counting)
    return told


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """The key of what a build of these data starts from; each call is a build of its own, with the same cache."""

    def of(uri: str, **changes: Any) -> str:
        data = {"name": "own", "format": "Arrays", "uri": uri, **changes}
        workspace = tmp_path / f"build-{len(list(tmp_path.iterdir()))}"
        workspace.mkdir()
        cache = Cache.open(tmp_path / "cache", tell=lambda _: None)
        read = decode(Spec, spec(data=data), where="spec")
        return Inputs(spec=read, reporter=SilentReporter(), workspace=workspace, cache=cache).origin

    return of


def arrays(path: Path, *, classes: int = 2, backwards: bool = False) -> Path:
    rows = numpy.random.default_rng(0).random((100, 3)).astype("float32")
    labels, step = numpy.arange(100) % classes, -1 if backwards else 1
    numpy.savez(path, rows=rows[::step], label=labels[::step])
    return path


def image(folder: Path, file: Path) -> str:
    """An image layout whose tag `data` is that file now."""
    layout, digest = Layout(folder), file_digest(file)
    layout.upload(file, digest=digest)
    layer = {"mediaType": "application/octet-stream", "digest": digest, "size": file.stat().st_size}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": [{**layer, "annotations": {TITLE: "x.npz"}}]}
    layout.tag(json.dumps(manifest).encode(), name="data")
    return f"oci://{folder}:data"


def test_data_elsewhere_are_read_once(tmp_path: Path, origin: Origin, fetched: list[str]) -> None:
    uri = image(tmp_path / "layout", arrays(tmp_path / "a.npz"))
    first = origin(uri)
    assert (origin(uri), fetched) == (first, [uri])
    image(tmp_path / "layout", arrays(tmp_path / "b.npz", backwards=True))
    assert (origin(uri), fetched) == (first, [uri, uri])  # other bytes, the same rows
    image(tmp_path / "layout", arrays(tmp_path / "c.npz", classes=4))
    assert origin(uri) != first
    assert len(fetched) == 3
    origin(uri, seed=1)
    assert len(fetched) == 4  # read otherwise, and so from the start


def test_files_are_known_by_what_is_in_them(tmp_path: Path, origin: Origin, fetched: list[str]) -> None:
    uri = arrays(tmp_path / "a.npz").as_uri()
    first = origin(uri)
    assert (origin(uri), fetched) == (first, [])
    arrays(tmp_path / "a.npz", classes=4)
    assert origin(uri) != first


def test_data_beside_a_graph_are_part_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_file, "DATA_FILE_FROM", 1)
    graph_file.write(product(130), folder=tmp_path, to=tmp_path / "model.onnx")
    raw = spec(source={"uri": (tmp_path / "model.onnx").as_uri()})
    cache = Cache.open(tmp_path / "cache", tell=lambda _: None)

    def key() -> str:
        read = decode(Spec, raw, where="spec")
        return Inputs(spec=read, reporter=SilentReporter(), workspace=tmp_path, cache=cache).origin

    first = key()
    assert key() == first
    data = graph_file.files(tmp_path / "model.onnx")[1]
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    assert key() != first


def test_what_changes_while_it_is_read_is_not_remembered(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the old identity would stand for the new rows."""
    uri = image(tmp_path / "layout", arrays(tmp_path / "a.npz"))
    before, fetch = remote.identity(uri, where="x"), remote.fetch

    def late(uri: str, **options: Any) -> Path:
        image(tmp_path / "layout", arrays(tmp_path / "b.npz", classes=4))
        return fetch(uri, **options)

    with monkeypatch.context() as patched:
        patched.setattr(remote, "fetch", late)
        of_new = origin(uri)
    image(tmp_path / "layout", tmp_path / "a.npz")
    assert remote.identity(uri, where="x") == before
    assert origin(uri) != of_new


def test_an_identity_needs_more_than_a_size() -> None:
    marked = object_bucket.Entry(key="x", size=3, mark="3 abc", md5=None)
    assert marked.marked
    assert not object_bucket.Entry(key="x", size=3, mark="3 ", md5=None).marked
    assert remote.identity(f"hf://a/b@{'0' * 40}/x", where="x") == f"hf://a/b@{'0' * 40}/x"
    assert remote.identity("mlflow://a/1", where="x") is None


@pytest.mark.real
def test_an_object_is_fetched_again_when_it_changed(
    tmp_path: Path, bucket: str, origin: Origin, fetched: list[str]
) -> None:
    uri, files = f"s3://{bucket}/own.npz", object_bucket.Bucket.open("s3", bucket)
    files.upload(arrays(tmp_path / "a.npz"), key="own.npz")
    first = origin(uri)
    assert (origin(uri), fetched) == (first, [uri])
    files.upload(arrays(tmp_path / "b.npz", classes=4), key="own.npz")
    assert origin(uri) != first
    assert fetched == [uri, uri]
