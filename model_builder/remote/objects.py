"""`s3://bucket/key`, `gs://bucket/key`, `az://container/key`: object stores, all through fsspec.

Address and credentials come from the environment as for every tool of the cloud in question: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID and so on; GOOGLE_APPLICATION_CREDENTIALS (a path) or GOOGLE_CREDENTIALS (the JSON itself);
AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_NAME; or the identity of the pod. A folder is what lies below
`key/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model_builder.errors import BadData, BadSpec, StorageError
from model_builder.remote.object_bucket import Bucket


def check(uri: str, *, where: str) -> None:
    """Refuse a URI without a bucket or a key."""
    parts = urlsplit(uri)
    if not parts.netloc or not parts.path.strip("/") or parts.query or parts.fragment:
        raise BadSpec(f"{where} is {uri!r}; it must be {parts.scheme}://bucket/key")


def identity(uri: str) -> Any:
    """Name and mark (size, and entity tag or generation) of the object, or of all below the folder."""
    parts = urlsplit(uri)
    found = Bucket.open(parts.scheme, parts.netloc).find(parts.path.strip("/"))
    return [[entry.key, entry.mark] for entry in found] if found and all(entry.marked for entry in found) else None


def fetch(uri: str, *, to: Path, limit: int) -> Path:
    """Download an object, or every object below a folder. A download that was cut off goes on where it was."""
    parts = urlsplit(uri)
    bucket = Bucket.open(parts.scheme, parts.netloc)
    key = parts.path.strip("/")
    found = bucket.find(key)
    if not found:
        raise StorageError(f"there is nothing at {uri}: check the URI", reason="ArtifactMissing")
    if sum(entry.size for entry in found) > limit:
        raise BadData(f"{uri} has {sum(e.size for e in found)} bytes, allowed are {limit}: raise maxBytes if it may")
    for entry in found:
        target = to if entry.key == key else to / _below(entry.key, key, uri=uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        bucket.download(entry, to=target)
    return to


def _below(key: str, folder: str, *, uri: str) -> str:
    path = key.removeprefix(folder + "/")
    if path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise BadData(f"{uri} has an object {key!r}, whose name leads out of the folder: refused")
    return path
