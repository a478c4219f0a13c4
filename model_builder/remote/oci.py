"""`oci://host/repository:tag` (a registry) and `oci:///path:tag` (an image layout in a directory), by OCI v1.1.

A digest (`@sha256:...`) pins either. Standard library only: `pull` reads artifacts from here. What is fetched as a
source are the files of an image's layers, or the titled blobs that tools for artifacts push.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from model_builder.errors import ArtifactCorrupt, BadData, BadSpec, StorageError
from model_builder.remote import archive
from model_builder.remote.oci_blobs import MANIFEST_TYPE, MANIFESTS, Repository, digest_of
from model_builder.remote.oci_http import Client
from model_builder.remote.oci_layout import Layout
from model_builder.remote.oci_registry import Registry

TITLE = "org.opencontainers.image.title"
_URI = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+(:\d+)?)?/(?P<path>[^@:]+?)/?(:(?P<tag>[\w][\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_REPOSITORY = re.compile(r"[a-z0-9]+([._/-]+[a-z0-9]+)*")


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
        if kind not in MANIFESTS or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest, _, _ in layers):
            raise ArtifactCorrupt(f"{self.repository.shown} has at {self.name} no image of one platform, but {kind!r}")
        return dict(manifest)


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
