"""An OCI image layout in a directory."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_builder.errors import ArtifactCorrupt
from model_builder.remote.oci_blobs import MANIFEST_TYPE, digest_of, file_digest, verify

_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_REF_NAME = "org.opencontainers.image.ref.name"
_LARGEST_MANIFEST = 4 << 20


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
        verify(to, digest=digest, size=size, shown=self.shown)

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
            index = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": entries}
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
