"""Writes container images as OCI archives: the same input gives the same bytes.

Layers are compressed with zstd. What an import waits for is the disk, and a third of the bytes takes half the time.
"""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from localcluster.errors import ClusterError

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file or folder of a layer; it belongs to root."""

    source: Path | bytes | None = None
    """Where the content comes from; None makes a folder."""
    mode: int = 0o755


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image: layers from the bottom up, and how a container of it starts."""

    layers: Sequence[Path | Mapping[str, Entry]]
    """Each is a tar, or entries by their path in the image."""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


def write(*, image: Image, name: str, archive: Path) -> str:
    """Write `image` under the full reference `name` into the file `archive`; return the manifest's digest."""
    with ExitStack() as stack:
        identities, layers = [], []
        for layer in image.layers:
            content = stack.enter_context(_layer_tar(layer))
            identities.append(f"sha256:{_sha256(content)}")
            content.seek(0)
            layers.append(stack.enter_context(compressed(content)))
        config = _encoded(_configuration(image=image, identities=identities))
        return assemble(config=config, layers=layers, name=name, archive=archive)


def assemble(*, config: bytes, layers: Sequence[IO[bytes]], name: str, archive: Path) -> str:
    """Write an archive of a ready configuration and its compressed layers; return the manifest's digest."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        content = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _blob(tar, io.BytesIO(config), media_type=_CONFIG),
            "layers": [_blob(tar, layer, media_type=_LAYER) for layer in layers],
        }
        manifest = _blob(tar, io.BytesIO(_encoded(content)), media_type=_MANIFEST)
        # The first is the standard's, the second what containerd names the image by.
        names = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [{**manifest, "annotations": names}]}
        _add(tar, "index.json", _encoded(index))
    return str(manifest["digest"])


@contextmanager
def layers_of(archive: Path) -> Iterator[Mapping[str, IO[bytes]]]:
    """Give the compressed layers of an archive by the digest of their uncompressed content."""
    with tarfile.open(archive) as tar:

        def blob(digest: str) -> IO[bytes]:
            found = tar.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert found is not None, "blobs are files"
            return found

        index = tar.extractfile("index.json")
        assert index is not None, "the index is a file"
        manifest: Any = json.load(blob(json.load(index)["manifests"][0]["digest"]))
        identities = json.load(blob(manifest["config"]["digest"]))["rootfs"]["diff_ids"]
        yield {identity: blob(layer["digest"]) for identity, layer in zip(identities, manifest["layers"], strict=True)}


@contextmanager
def compressed(content: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give what is left to read of `content` compressed."""
    with tempfile.TemporaryFile() as file:
        try:
            process = subprocess.Popen(["zstd", "-q", "-T0", "-c"], stdin=subprocess.PIPE, stdout=file)
        except FileNotFoundError as error:
            msg = "images are made with 'zstd', which is not installed: run `apt-get install zstd`"
            raise ClusterError(msg) from error
        with process:
            assert process.stdin is not None, "asked for above"
            shutil.copyfileobj(content, process.stdin, _CHUNK)
        if process.returncode:
            msg = f"`zstd` ended with code {process.returncode}: is the disk of {tempfile.gettempdir()} full?"
            raise ClusterError(msg)
        yield file


def _configuration(*, image: Image, identities: Sequence[str]) -> Mapping[str, object]:
    process: dict[str, object] = {"Env": [f"{key}={value}" for key, value in sorted(image.env.items())]}
    if image.entrypoint:
        process["Entrypoint"] = list(image.entrypoint)
    if image.command:
        process["Cmd"] = list(image.command)
    if image.user:
        process["User"] = image.user
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": process,
        # One entry a layer: buildah builds on no image without it.
        "history": [{"created_by": "localcluster.images"} for _ in identities],
        "rootfs": {"type": "layers", "diff_ids": identities},
    }


@contextmanager
def _layer_tar(layer: Path | Mapping[str, Entry]) -> Iterator[IO[bytes]]:
    if isinstance(layer, Path):
        with layer.open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path, entry in sorted(layer.items()):
                _add_entry(tar, path.strip("/"), entry)
        yield file


def _add_entry(tar: tarfile.TarFile, path: str, entry: Entry) -> None:
    if entry.source is None:
        info = tarfile.TarInfo(path)
        info.type, info.mode = tarfile.DIRTYPE, entry.mode
        tar.addfile(info)
    elif isinstance(entry.source, bytes):
        _add(tar, path, entry.source, mode=entry.mode)
    else:
        with entry.source.open("rb") as content:
            info = tarfile.TarInfo(path)
            info.size, info.mode = entry.source.stat().st_size, entry.mode
            tar.addfile(info, content)


def _blob(tar: tarfile.TarFile, file: IO[bytes], *, media_type: str) -> dict[str, object]:
    """Add the content of `file` under the name that its digest gives it; return its descriptor."""
    digest = _sha256(file)
    info = tarfile.TarInfo(f"blobs/sha256/{digest}")
    info.size, info.mode = file.seek(0, io.SEEK_END), 0o644
    file.seek(0)
    tar.addfile(info, file)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": info.size}


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any binary file will do


def _add(tar: tarfile.TarFile, path: str, content: bytes, *, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def _encoded(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
