"""The writer of OCI archives."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from localcluster.errors import ClusterError
from localcluster.images import oci

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="layers are compressed with zstd")
NAME = "localhost/modelrelease/probe:dev"


def image(**changes: Any) -> oci.Image:
    layer = {
        "usr/local/bin/tool": oci.Entry(source=b"#!/bin/sh\n"),
        "etc/settings": oci.Entry(source=b"a=1\n", mode=0o640),
        "tmp": oci.Entry(mode=0o1777),
    }
    given: dict[str, Any] = {
        "layers": [layer],
        "entrypoint": ["/usr/local/bin/tool"],
        "command": ["serve"],
        "user": "65532:65532",
        "env": {"PATH": "/usr/local/bin", "A": "b"},
    }
    return oci.Image(**(given | changes))


def blobs(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    content = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
    assert len(content) == descriptor["size"]
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
    return content


def unpacked(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-dqc"], input=content, capture_output=True, check=True).stdout


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "image.tar"


def test_archive_is_a_valid_layout_in_which_every_reference_leads_to_its_content(archive: Path) -> None:
    digest = oci.write(image=image(), name=NAME, archive=archive)
    files = blobs(archive)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    [entry] = json.loads(files["index.json"])["manifests"]
    assert entry["digest"] == digest
    assert entry["annotations"]["io.containerd.image.name"] == NAME
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == NAME
    manifest = json.loads(blob(files, entry))
    config = json.loads(blob(files, manifest["config"]))
    identities = [f"sha256:{hashlib.sha256(unpacked(blob(files, layer))).hexdigest()}" for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == identities
    assert len(config["history"]) == len(identities)


def test_config_says_how_a_container_starts(archive: Path) -> None:
    oci.write(image=image(), name=NAME, archive=archive)
    files = blobs(archive)
    manifest = json.loads(blob(files, json.loads(files["index.json"])["manifests"][0]))
    assert json.loads(blob(files, manifest["config"]))["config"] == {
        "Cmd": ["serve"],
        "Entrypoint": ["/usr/local/bin/tool"],
        "Env": ["A=b", "PATH=/usr/local/bin"],
        "User": "65532:65532",
    }


def test_files_keep_their_modes_and_belong_to_root(archive: Path) -> None:
    oci.write(image=image(), name=NAME, archive=archive)
    with oci.layers_of(archive) as layers:
        [content] = [layer.read() for layer in layers.values()]
    with tarfile.open(fileobj=io.BytesIO(unpacked(content))) as tar:
        members = {member.name: (member.mode, member.isdir(), member.uid, member.gid, member.mtime) for member in tar}
    assert members == {
        "usr/local/bin/tool": (0o755, False, 0, 0, 0),
        "etc/settings": (0o640, False, 0, 0, 0),
        "tmp": (0o1777, True, 0, 0, 0),
    }


def test_same_input_gives_the_same_bytes_wherever_the_files_lie(tmp_path: Path) -> None:
    written = []
    for folder in ("one", "two"):
        source = tmp_path / folder / "binary"
        source.parent.mkdir()
        source.write_bytes(b"content" * 1000)
        source.chmod(0o700 if folder == "one" else 0o644)
        archive = tmp_path / folder / "image.tar"
        oci.write(image=image(layers=[{"bin/binary": oci.Entry(source=source)}]), name=NAME, archive=archive)
        written.append(archive.read_bytes())
    assert written[0] == written[1]


def test_changed_content_changes_the_digest(tmp_path: Path) -> None:
    digests = {
        oci.write(image=image(layers=[{"file": oci.Entry(source=content)}]), name=NAME, archive=tmp_path / "image.tar")
        for content in (b"one", b"two")
    }
    assert len(digests) == 2


def test_tar_becomes_a_layer_as_it_is(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root.tar"
    with tarfile.open(root, "w") as tar:
        tar.addfile(tarfile.TarInfo("etc/empty"))
    oci.write(image=image(layers=[root, {"top": oci.Entry()}]), name=NAME, archive=archive)
    with oci.layers_of(archive) as layers:
        bottom = next(iter(layers))
        assert bottom == f"sha256:{hashlib.sha256(root.read_bytes()).hexdigest()}"
        assert unpacked(layers[bottom].read()) == root.read_bytes()
        assert len(layers) == 2


def test_missing_compressor_is_named(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterError, match="apt-get install zstd"):
        oci.write(image=image(), name=NAME, archive=archive)
