"""`oci://host/repository` and `oci:///path`: an artifact as a container image, so that any cluster can mount it.

Every file is a layer of its own, below /models: releases share the layers of the files they share, and a node can
mount the image as a volume. The tag is the artifact's digest; the image exists once its manifest is there.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_builder import artifact as artifacts
from model_builder.errors import ArtifactCorrupt, BadData, BadSpec, StorageError
from model_builder.remote.oci import Reference
from model_builder.remote.oci_blobs import MANIFEST_TYPE, file_digest
from model_builder.remote.oci_layout import Layout
from model_builder.stores.base import name_in_store, supersedes
from model_builder.stores.file import translate

_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_PATH = "dev.modelrelease.path"
_FOLDER = "models"
#: Container runtimes stack no more layers than this.
_MOST_LAYERS = 120


@dataclass(frozen=True)
class OciStore:
    """A repository of a registry, or a layout; with a tag or digest, the artifact there."""

    uri: str
    reference: Reference

    @classmethod
    def parse(cls, uri: str) -> OciStore:
        """The store of an OCI URI."""
        return cls(uri=uri, reference=Reference.parse(uri, where="the store"))

    def check(self) -> None:
        """Ask for a tag: address, credentials and repository must be right for an answer."""
        try:
            self.reference.repository.manifest("none")
            if isinstance(self.reference.repository, Layout):
                self.reference.repository.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise translate(error, root=self._root) from error

    def put(self, *, artifact: Path, digest: str) -> str:
        """Upload the layers that are not there yet, then the manifest; an image with all its layers is left alone.

        Raises:
            ArtifactCorrupt: a registry gives other bytes for a blob that it says it has, which no upload replaces.
        """
        if self.reference.name:
            raise BadSpec(
                f"the store is {self.uri!r}; artifacts get a tag of their own, remove {self.reference.name!r}"
            )
        repository = self.reference.repository
        try:
            tag = name_in_store(artifact, digest=digest, at=self._named)
            stored = self._named(tag)
            uri = stored.uri
            if self._is_whole(tag):
                stored._reread()
                if not supersedes(artifact, stored=stored):
                    return uri
            with tempfile.TemporaryDirectory() as scratch:
                manifest = self._upload(artifact, scratch=Path(scratch))
            repository.tag(manifest, name=tag)
        except OSError as error:
            raise translate(error, root=self._root) from error
        return uri

    def _named(self, name: str) -> OciStore:
        return OciStore(uri=f"{self.uri.rstrip('/')}:{name}", reference=Reference(self.reference.repository, name))

    def has(self, path: str) -> bool:
        """Look into the image's manifest."""
        try:
            manifest = self.reference.manifest()
        except OSError as error:
            raise translate(error, root=self._root) from error
        return manifest is not None and _layer_of(manifest, path) is not None

    def fetch(self, *, path: str, to: Path) -> None:
        """Download the layer of a file and unpack it."""
        try:
            manifest = self.reference.manifest()
            if manifest is None:
                raise StorageError(f"there is no artifact at {self.uri}: check the URI", reason="ArtifactMissing")
            layer = _layer_of(manifest, path)
            if layer is None:
                raise ArtifactCorrupt(f"{path} of {self.uri} is missing: {artifacts.CURE}")
            blob = to.with_name(to.name + ".layer")
            try:
                self.reference.repository.download(layer["digest"], int(layer["size"]), to=blob)
            except ArtifactCorrupt as error:
                # A registry says of a blob that it has spoilt that it is there, and takes no other upload of it.
                raise ArtifactCorrupt(
                    f"{path} of {self.uri} was changed or damaged: its blob {layer['digest']} has other bytes than its "
                    "digest, and a registry that has a blob takes no other; delete it from its storage, then "
                    f"{artifacts.CURE}"
                ) from error
            _extract(blob, path=path, to=to, uri=self.uri)
            blob.unlink()
        except OSError as error:
            raise translate(error, root=self._root) from error

    def _is_whole(self, tag: str) -> bool:
        """Whether the image is there with all its blobs; one that is damaged is stored again."""
        try:
            known = Reference(self.reference.repository, tag).manifest()
        except ArtifactCorrupt:
            return False
        blobs = [known["config"], *known["layers"]] if known else []
        return bool(blobs) and all(self.reference.repository.has(b["digest"], int(b["size"])) for b in blobs)

    def _reread(self) -> None:
        """Read every file of the image from a registry, which is asked for no more than a length elsewhere."""
        manifest = self.reference.manifest()
        if manifest is None or isinstance(self.reference.repository, Layout):
            return  # a layout reads a blob to tell that it has it
        with tempfile.TemporaryDirectory() as scratch:
            for layer in manifest["layers"]:
                self.fetch(path=str((layer.get("annotations") or {}).get(_PATH)), to=Path(scratch) / "file")

    @property
    def _root(self) -> Path:
        repository = self.reference.repository
        return repository.root if isinstance(repository, Layout) else Path(self.uri)

    def _upload(self, artifact: Path, *, scratch: Path) -> bytes:
        """Store the layers and the config; return the manifest."""
        signature = [artifacts.SIGNATURE] if (artifact / artifacts.SIGNATURE).is_file() else []
        names = [*(entry.path for entry in artifacts.scan(artifact)), *signature, artifacts.MANIFEST]
        if len(names) > _MOST_LAYERS:
            raise BadData(f"the artifact has {len(names)} files, and an image has {_MOST_LAYERS} layers at most")
        layers = []
        for name in names:
            layer = _layer(artifact / name, path=name, to=scratch / "layer.tar")
            layers.append({**self._blob(layer, media_type=_LAYER_TYPE), "annotations": {_PATH: name}})
        config: dict[str, Any] = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
        written = scratch / "config.json"
        written.write_text(json.dumps(config, sort_keys=True))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self._blob(written, media_type=_CONFIG_TYPE),
            "layers": layers,
        }
        return json.dumps(manifest, sort_keys=True).encode()

    def _blob(self, path: Path, *, media_type: str) -> dict[str, Any]:
        digest, size = file_digest(path), path.stat().st_size
        if not self.reference.repository.has(digest, size):
            self.reference.repository.upload(path, digest=digest)
        return {"mediaType": media_type, "digest": digest, "size": size}


def _layer_of(manifest: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """The layer that holds a file of the artifact."""
    return next((e for e in manifest["layers"] if (e.get("annotations") or {}).get(_PATH) == path), None)


def _layer(file: Path, *, path: str, to: Path) -> Path:
    """A tar of one file that is the same whenever and by whomever it is made."""
    info = tarfile.TarInfo(f"{_FOLDER}/{path}")
    info.size, info.mode = file.stat().st_size, 0o644
    with tarfile.open(to, "w", format=tarfile.PAX_FORMAT) as archive, file.open("rb") as stream:
        archive.addfile(info, stream)
    return to


def _extract(blob: Path, *, path: str, to: Path, uri: str) -> None:
    try:
        with tarfile.open(blob, "r:") as archive:
            stream = archive.extractfile(f"{_FOLDER}/{path}")
            if stream is None:
                raise KeyError(path)
            with stream, to.open("wb") as out:
                while block := stream.read(1 << 20):
                    out.write(block)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise ArtifactCorrupt(f"the layer of {path} in {uri} does not hold that file: store it again") from error
