"""`s3://bucket/prefix`: objects in a bucket; the manifest is uploaded last and makes the artifact exist."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from model_builder import artifact as artifacts
from model_builder.errors import BadSpec
from model_builder.s3 import Bucket


@dataclass(frozen=True)
class S3Store:
    """A prefix in a bucket."""

    bucket: Bucket
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> S3Store:
        """The store of an S3 URI."""
        parts = urlsplit(uri)
        if not parts.netloc or parts.query or parts.fragment:
            raise BadSpec(f"the store is {uri!r}; it must be s3://bucket/prefix")
        return cls(bucket=Bucket.open(parts.netloc), prefix=parts.path.strip("/"))

    def check(self) -> None:
        """Ask for an object: address, credentials and bucket must be right for an answer."""
        self.bucket.exists(key=self._key(artifacts.MANIFEST))

    def put(self, *, artifact: Path, digest: str) -> str:
        """Upload every file, the manifest last; an artifact with a manifest is complete and left alone."""
        bucket, folder = self.bucket, self._key(artifacts.folder_name(digest))
        if not bucket.exists(key=f"{folder}/{artifacts.MANIFEST}"):
            for entry in artifacts.scan(artifact):
                bucket.upload(path=artifact / entry.path, key=f"{folder}/{entry.path}")
            bucket.upload(path=artifact / artifacts.MANIFEST, key=f"{folder}/{artifacts.MANIFEST}")
        return f"s3://{bucket.name}/{folder}"

    def fetch(self, *, path: str, to: Path) -> None:
        """Download one object."""
        self.bucket.download(key=self._key(path), to=to)

    def _key(self, path: str) -> str:
        return "/".join(filter(None, (self.prefix, path)))
