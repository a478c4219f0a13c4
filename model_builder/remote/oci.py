"""`oci://host/repository:tag` (a registry) and `oci:///path:tag` (an image layout in a directory), by OCI v1.1.

A digest (`@sha256:...`) pins either. Standard library only: `pull` reads artifacts from here. What is fetched as a
source are the files of an image's layers, or the titled blobs that tools for artifacts push.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from model_builder.errors import ArtifactCorrupt, BadData, BadSpec, StorageError
from model_builder.remote import archive
from model_builder.remote.oci_http import Client

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_MANIFESTS = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")
TITLE = "org.opencontainers.image.title"
_REF_NAME = "org.opencontainers.image.ref.name"
_URI = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+(:\d+)?)?/(?P<path>[^@:]+?)/?(:(?P<tag>[\w][\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_REPOSITORY = re.compile(r"[a-z0-9]+([._/-]+[a-z0-9]+)*")
_LARGEST_MANIFEST = 4 << 20
_CHUNK = 8 << 20
_TRIES = 3


@dataclass(frozen=True)
class Reference:
    """A repository, and which image of it."""

    repository: Repository
    name: str

    @classmethod
    def parse(cls, uri: str, *, where: str) -> Reference:
        """BadSpec if it is none."""
        match = _URI.fullmatch(uri)
        valid = match is not None and (match["host"] is None or _REPOSITORY.fullmatch(match["path"]))
        if match is None or not valid:
            raise BadSpec(
                f"{where} is {uri!r}; it must be oci://HOST/REPOSITORY[:TAG][@sha256:DIGEST] in lower case, or "
                "oci:///PATH[:TAG] for an image layout in a directory"
            )
        name = match["digest"] or match["tag"] or ""
        if match["host"] is None:
            return cls(Layout(Path("/" + unquote(match["path"]))), name)
        return cls(Registry(Client(host=match["host"], repository=match["path"])), name)

    def manifest(self) -> Mapping[str, Any] | None:
        """The manifest of the image, None if there is none; its digest is checked where the reference has one."""
        if not self.name:
            return None
        raw = self.repository.manifest(self.name)
        if raw is None:
            return None
        found = digest_of(raw)
        if self.name.startswith("sha256:") and found != self.name:
            raise ArtifactCorrupt(f"{self.repository.shown} gave the manifest {found} for {self.name}: push it again")
        try:
            manifest = json.loads(raw)
            kind = manifest.get("mediaType", MANIFEST_TYPE)
            layers = [(str(e["digest"]), int(e["size"]), dict(e.get("annotations") or {})) for e in manifest["layers"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactCorrupt(
                f"the manifest {found} of {self.repository.shown} is not readable: {error!r}"
            ) from error
        if kind not in _MANIFESTS or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest, _, _ in layers):
            raise ArtifactCorrupt(f"{self.repository.shown} has at {self.name} no image of one platform, but {kind!r}")
        return dict(manifest)


class Repository(Protocol):
    """Blobs and manifests, wherever they are."""

    @property
    def shown(self) -> str:
        """How people call it."""

    def manifest(self, name: str) -> bytes | None:
        """The bytes of a manifest by tag or digest."""

    def has(self, digest: str, size: int) -> bool:
        """Whether there is this blob."""

    def download(self, digest: str, size: int, *, to: Path) -> None:
        """Fetch a blob and verify it; what an earlier attempt left in `to`.part is taken up."""

    def upload(self, path: Path, *, digest: str) -> None:
        """Store a blob."""

    def tag(self, manifest: bytes, *, name: str) -> None:
        """Store a manifest: now the image exists."""


def digest_of(raw: bytes) -> str:
    """The digest of bytes, in the form of OCI."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def file_digest(path: Path) -> str:
    """The digest of a file, in the form of OCI."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def check(uri: str, *, where: str) -> None:
    """Refuse what names no image."""
    if not Reference.parse(uri, where=where).name:
        raise BadSpec(f"{where} is {uri!r}; it needs a tag or, better, a digest: oci://HOST/REPOSITORY@sha256:DIGEST")


def identity(uri: str) -> Any:
    """The digests of all layers, with their names."""
    manifest = Reference.parse(uri, where="the source").manifest()
    layers = [] if manifest is None else manifest["layers"]
    return [[layer["digest"], (layer.get("annotations") or {}).get(TITLE)] for layer in layers] or None


def fetch(uri: str, *, to: Path, limit: int) -> Path:
    """The files of all layers."""
    reference = Reference.parse(uri, where="the source")
    manifest = reference.manifest()
    if manifest is None:
        raise StorageError(f"there is nothing at {uri}: check the URI", reason="ArtifactMissing")
    total = sum(int(layer["size"]) for layer in manifest["layers"])
    if total > limit:
        raise BadData(f"{uri} has {total} bytes, allowed are {limit}: take a smaller one, or raise maxBytes")
    to.mkdir(parents=True, exist_ok=True)
    left = limit
    for index, layer in enumerate(manifest["layers"]):
        blob = to.with_name(f"{to.name}.layer{index}")
        reference.repository.download(layer["digest"], int(layer["size"]), to=blob)
        title = (layer.get("annotations") or {}).get(TITLE)
        if re.search(r"tar(\+gzip|\.gzip)?$", str(layer.get("mediaType", ""))):
            unpacked = archive.unpack(blob, to=blob.with_name(blob.name + ".files"), name=uri, limit=left)
            left -= sum(file.stat().st_size for file in unpacked.rglob("*") if file.is_file())
            shutil.copytree(unpacked, to, dirs_exist_ok=True)
            shutil.rmtree(unpacked)
            blob.unlink()
        elif title and "/" not in title and title not in (".", ".."):
            left -= blob.stat().st_size
            blob.rename(to / title)
        else:
            raise BadData(f"{uri} has a layer that is neither a tar nor a file with a name: push plain files")
    return to


@dataclass(frozen=True)
class Layout:
    """An image layout in a directory. Blobs are renamed into place; the index is changed by one writer at a time."""

    root: Path

    @property
    def shown(self) -> str:
        """The directory."""
        return str(self.root)

    def manifest(self, name: str) -> bytes | None:
        """By the index, or by digest."""
        digest = name if name.startswith("sha256:") else self._index().get(name)
        if digest is None:
            return None
        path = self._blob(digest)
        if not path.is_file() or path.stat().st_size > _LARGEST_MANIFEST:
            return None
        raw = path.read_bytes()
        if digest_of(raw) != digest:
            raise ArtifactCorrupt(
                f"the manifest {digest} of {self.root} has other bytes than its digest: store it again"
            )
        return raw

    def has(self, digest: str, size: int) -> bool:
        """Whole and undamaged: reading a blob costs less than a build that can't be pulled."""
        path = self._blob(digest)
        return path.is_file() and path.stat().st_size == size and file_digest(path) == digest

    def download(self, digest: str, size: int, *, to: Path) -> None:
        """Copy."""
        path = self._blob(digest)
        if not path.is_file():
            raise ArtifactCorrupt(f"the blob {digest} of {self.root} is missing: store the artifact again")
        shutil.copyfile(path, to)
        _verify(to, digest=digest, size=size, shown=self.shown)

    def upload(self, path: Path, *, digest: str) -> None:
        """Copy and rename."""
        self._write(self._blob(digest), path=path)

    def tag(self, manifest: bytes, *, name: str) -> None:
        """Write the blob, then the index that names it."""
        digest = digest_of(manifest)
        self._write(self._blob(digest), raw=manifest)
        self._write(self.root / "oci-layout", raw=b'{"imageLayoutVersion":"1.0.0"}')
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = [entry for entry in self._entries() if entry.get("annotations", {}).get(_REF_NAME) != name]
            entries.append(
                {
                    "mediaType": MANIFEST_TYPE,
                    "digest": digest,
                    "size": len(manifest),
                    "annotations": {_REF_NAME: name},
                }
            )
            index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
            self._write(self.root / "index.json", raw=json.dumps(index).encode())

    def _blob(self, digest: str) -> Path:
        return self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def _write(self, target: Path, *, path: Path | None = None, raw: bytes = b"") -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = self.root / f".incomplete-{uuid.uuid4().hex}"
        try:
            if path is not None:
                shutil.copyfile(path, partial)
            else:
                partial.write_bytes(raw)
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)

    def _entries(self) -> list[dict[str, Any]]:
        path = self.root / "index.json"
        if not path.is_file():
            return []
        try:
            entries = json.loads(path.read_text())["manifests"]
            return [entry for entry in entries if isinstance(entry["digest"], str)]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArtifactCorrupt(f"{path} is no index of an image layout ({error!r}): repair or remove it") from error

    def _index(self) -> dict[str, str]:
        named = ((entry.get("annotations") or {}).get(_REF_NAME) for entry in self._entries())
        return {
            name: str(entry["digest"])
            for name, entry in zip(named, self._entries(), strict=True)
            if name and re.fullmatch(r"sha256:[0-9a-f]{64}", str(entry["digest"]))
        }


@dataclass(frozen=True)
class Registry:
    """A repository behind HTTP."""

    client: Client

    @property
    def shown(self) -> str:
        """Host and repository."""
        return f"{self.client.host}/{self.client.repository}"

    def manifest(self, name: str) -> bytes | None:
        """By tag or digest."""
        accept = {"Accept": ", ".join(_MANIFESTS)}
        answer = self.client.ask("GET", self._url(f"manifests/{name}"), headers=accept, expected=(200, 404))
        return answer.body.read() if answer.status == 200 else None

    def has(self, digest: str, size: int) -> bool:
        """By its digest."""
        answer = self.client.ask("HEAD", self._url(f"blobs/{digest}"), expected=(200, 404))
        return answer.status == 200 and int(answer.headers.get("content-length", size)) == size

    def download(self, digest: str, size: int, *, to: Path) -> None:
        """In one stream; where it breaks off, another one begins at that byte."""
        part = to.with_name(to.name + ".part")
        for attempt in range(_TRIES):
            start = part.stat().st_size if part.exists() else 0
            if start >= size:
                break
            try:
                self._stream(digest, start=start, part=part)
            except (OSError, http.client.HTTPException) as error:
                if attempt + 1 == _TRIES:
                    raise self.client.unreachable(error) from error
        if not part.exists():
            part.touch()
        try:
            _verify(part, digest=digest, size=size, shown=self.shown)
        except ArtifactCorrupt:
            part.unlink()
            raise
        part.rename(to)

    def _stream(self, digest: str, *, start: int, part: Path) -> None:
        headers = {"Range": f"bytes={start}-"} if start else {}
        answer = self.client.ask("GET", self._url(f"blobs/{digest}"), headers=headers, stream=True, expected=(200, 206))
        with answer.body as body, part.open("ab" if answer.status == 206 else "wb") as out:
            shutil.copyfileobj(body, out, _CHUNK)

    def upload(self, path: Path, *, digest: str) -> None:
        """In pieces; after a piece that failed, the registry is asked how far it got."""
        started = self.client.ask("POST", self._url("blobs/uploads/"), data=b"", push=True, expected=(202,))
        location, done, size = started.headers["location"], 0, path.stat().st_size
        failures = 0
        with path.open("rb") as stream:
            while done < size:
                stream.seek(done)
                piece = stream.read(_CHUNK)
                headers = {
                    "Content-Type": "application/octet-stream",
                    "Content-Range": f"{done}-{done + len(piece) - 1}",
                }
                try:
                    answer = self.client.ask(
                        "PATCH", location, headers=headers, data=piece, push=True, expected=(202, 416)
                    )
                except StorageError as error:
                    failures += 1
                    if failures >= _TRIES or error.reason != "StoreUnreachable":
                        raise
                    answer = self.client.ask("GET", location, push=True, expected=(204,))
                location = answer.headers.get("location", location)
                done = int(answer.headers.get("range", f"0-{done + len(piece) - 1}").split("-")[-1]) + 1
        mark = "&" if "?" in location else "?"
        self.client.ask("PUT", f"{location}{mark}digest={digest}", data=b"", push=True, expected=(201,))

    def tag(self, manifest: bytes, *, name: str) -> None:
        """One request."""
        headers = {"Content-Type": MANIFEST_TYPE}
        self.client.ask(
            "PUT", self._url(f"manifests/{name}"), headers=headers, data=manifest, push=True, expected=(201,)
        )

    def _url(self, path: str) -> str:
        return f"{self.client.base}/{path}"


def _verify(path: Path, *, digest: str, size: int, shown: str) -> None:
    if path.stat().st_size != size or file_digest(path) != digest:
        raise ArtifactCorrupt(f"the blob {digest} of {shown} has other bytes than its digest: store the artifact again")
