"""`s3://bucket/prefix`, `gs://...`, `az://...`: objects; the manifest is uploaded last and makes the artifact exist."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from model_builder import artifact as artifacts
from model_builder.errors import ArtifactCorrupt, BadSpec, StorageError
from model_builder.remote.object_bucket import Bucket, same
from model_builder.stores.base import name_in_store, settle


@dataclass(frozen=True)
class ObjectStore:
    """A prefix in a bucket."""

    bucket: Bucket
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> ObjectStore:
        """The store of a URI."""
        parts = urlsplit(uri)
        if not parts.netloc or parts.query or parts.fragment:
            raise BadSpec(f"the store is {uri!r}; it must be {parts.scheme}://bucket/prefix")
        return cls(bucket=Bucket.open(parts.scheme, parts.netloc), prefix=parts.path.strip("/"))

    def check(self) -> None:
        """Ask for an object: address, credentials and bucket must be right for an answer."""
        self.bucket.info(self._key(artifacts.MANIFEST))

    def put(self, *, artifact: Path, digest: str) -> str:
        """Upload what is not there yet or is damaged, the manifest last.

        An upload that was cut off left whole objects: those whose checksum is right are not sent again. Of an artifact
        with a manifest every object is read: the checksum that a store keeps is of what it once got, not of what it
        gives now, and whoever stores an artifact again may do so because it can't be pulled.
        """
        folder = self._key(name_in_store(artifact, digest=digest, at=self._named))
        there = {entry.key: entry for entry in self.bucket.find(folder)}
        complete = f"{folder}/{artifacts.MANIFEST}" in there
        files = artifacts.scan(artifact)
        for file in files:
            key, path = f"{folder}/{file.path}", artifact / file.path
            kept = self.bucket.holds if complete else same
            if key not in there or not kept(there[key], path):
                self.bucket.upload(path, key=key)

        def tell() -> None:
            for name in (artifacts.SIGNATURE, artifacts.MANIFEST):
                if (artifact / name).is_file():
                    self.bucket.upload(artifact / name, key=f"{folder}/{name}")

        stored = ObjectStore(self.bucket, prefix=folder)
        if not complete or not stored._lists(files):
            tell()
        settle(artifact, stored=stored, tell=tell)
        return f"{self.bucket.scheme}://{self.bucket.name}/{folder}"

    def _named(self, name: str) -> ObjectStore:
        return ObjectStore(self.bucket, prefix=self._key(name))

    def has(self, path: str) -> bool:
        """Ask for the object."""
        return self.bucket.info(self._key(path)) is not None

    def fetch(self, *, path: str, to: Path) -> None:
        """Download one object."""
        entry = self.bucket.info(self._key(path))
        if entry is not None:
            self.bucket.download(entry, to=to)
            return
        if path != artifacts.MANIFEST:
            where = f"{self.bucket.scheme}://{self.bucket.name}/{self.prefix}"
            raise ArtifactCorrupt(f"{path} of {where} is missing: {artifacts.CURE}")
        raise StorageError(
            f"the bucket {self.bucket.name!r} has no object {self._key(path)!r}: check the URI",
            reason="ArtifactMissing",
        )

    def _lists(self, files: tuple[artifacts.FileEntry, ...]) -> bool:
        with tempfile.TemporaryDirectory() as scratch:
            manifest = Path(scratch) / artifacts.MANIFEST
            self.fetch(path=artifacts.MANIFEST, to=manifest)
            return artifacts.lists(manifest.read_text(encoding="utf-8", errors="replace"), files=files)

    def _key(self, path: str) -> str:
        return "/".join(filter(None, (self.prefix, path)))
