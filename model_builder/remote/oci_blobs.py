"""What a registry and an image layout have in common: blobs and manifests, named by the sha256 of their bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from model_builder.errors import ArtifactCorrupt

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
#: Kinds of manifests that name the layers of one image.
MANIFESTS = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")


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


def verify(path: Path, *, digest: str, size: int, shown: str) -> None:
    """Fail if a fetched blob is not the one that was asked for. ArtifactCorrupt."""
    if path.stat().st_size != size or file_digest(path) != digest:
        raise ArtifactCorrupt(f"the blob {digest} of {shown} has other bytes than its digest: store the artifact again")
