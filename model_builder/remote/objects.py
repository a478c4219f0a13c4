"""`s3://bucket/key`, `gs://bucket/key`, `az://container/key`: object stores, all through fsspec.

Address and credentials come from the environment as for every tool of the cloud in question: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID and so on; GOOGLE_APPLICATION_CREDENTIALS (a path) or GOOGLE_CREDENTIALS (the JSON itself);
AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_NAME; or the identity of the pod. A folder is what lies below
`key/`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model_builder.errors import BadData, BadSpec, StorageError

_BLOCK = 16 << 20
#: Seconds that a question about one object may take, all attempts of the client together.
_PATIENCE = 20
#: Size of the parts of a large upload; the checksum that S3 keeps of such an object depends on it.
_PART = 50 << 20


@dataclass(frozen=True)
class _Client:
    """The package that speaks to a store, and what a person can do where it fails."""

    package: str
    class_name: str
    extra: str
    address: str
    credentials: str


_CLIENTS: Mapping[str, _Client] = {
    "s3": _Client("s3fs", "S3FileSystem", "puller", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    # The plain client: the one at the top of the package speaks gRPC as well, past STORAGE_EMULATOR_HOST.
    "gs": _Client("gcsfs.core", "GCSFileSystem", "gcs", "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"),
    "az": _Client(
        "adlfs", "AzureBlobFileSystem", "azure", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"
    ),
}


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


@dataclass(frozen=True)
class Entry:
    """An object: `mark` changes when its content does; `md5` is the checksum that the store keeps, if it keeps one."""

    key: str
    size: int
    mark: str
    md5: str | None

    @property
    def marked(self) -> bool:
        """Whether the store gave more than a size."""
        return not self.mark.endswith(" ")


@dataclass(frozen=True)
class Bucket:
    """One bucket or container; the only place that knows fsspec and the errors of its file systems."""

    scheme: str
    name: str
    files: Any

    @classmethod
    def open(cls, scheme: str, name: str) -> Bucket:
        """A client with short patience: an unreachable store must fail a Job in seconds, not in minutes."""
        client = _CLIENTS[scheme]
        try:
            module = importlib.import_module(client.package)
        except ImportError as error:
            package = client.package.split(".")[0]
            raise BadSpec(f"{scheme}:// needs {package}: install the extra {client.extra!r}") from error
        with _translated(scheme, name):
            files = getattr(module, client.class_name)(
                skip_instance_cache=True, use_listings_cache=False, **_options(scheme)
            )
        return cls(scheme=scheme, name=name, files=files)

    def find(self, key: str) -> tuple[Entry, ...]:
        """The object of this name, or all that lie below it as below a folder, by name."""
        alone = self.info(key) if key else None
        if alone is not None:
            return (alone,)
        with _translated(self.scheme, self.name):
            try:
                found = self.files.find(self._path(key), detail=True)
            except FileNotFoundError:
                found = {}
        prefix = self.name + "/"
        entries = (_entry(path.removeprefix(prefix), info) for path, info in found.items())
        return tuple(sorted((e for e in entries if not e.key.endswith("/")), key=lambda entry: entry.key))

    def info(self, key: str) -> Entry | None:
        """The object of this name, None if there is none."""
        with _translated(self.scheme, self.name):
            try:
                info = self._within(self.files._info, self._path(key))
            except FileNotFoundError:
                # A missing bucket gives the same answer: ask which of the two it is.
                self._check_exists()
                return None
        return _entry(key, info) if info["type"] == "file" else None

    def upload(self, path: Path, *, key: str) -> None:
        """Store a file; an object appears whole or not at all."""
        with _translated(self.scheme, self.name):
            self.files.put_file(str(path), self._path(key), **({"chunksize": _PART} if self.scheme == "s3" else {}))

    def download(self, entry: Entry, *, to: Path) -> None:
        """Fetch an object; `to` appears when all of it is there, and until then what is there is kept."""
        part, note = to.with_name(to.name + ".part"), to.with_name(to.name + ".mark")
        if not note.exists() or note.read_text() != entry.mark:
            part.unlink(missing_ok=True)
            note.write_text(entry.mark)
        with part.open("ab") as out:
            while (start := out.tell()) < entry.size:
                with _translated(self.scheme, self.name):
                    end = min(start + _BLOCK, entry.size)
                    block = self.files.cat_file(self._path(entry.key), start=start, end=end)
                if len(block) != end - start:
                    raise StorageError(
                        f"{self.scheme}://{self.name}/{entry.key} was cut off at byte {start}: try again"
                    )
                out.write(block)
        after = self.info(entry.key)
        note.unlink()
        if after is None or after.mark != entry.mark:
            part.unlink()
            raise StorageError(f"{self.scheme}://{self.name}/{entry.key} was changed while it was read: try again")
        part.rename(to)

    def _path(self, key: str) -> str:
        return f"{self.name}/{key}"

    def _within(self, call: Any, path: str) -> Any:
        """Ask a small question with a limit of our own: some clients go on trying for minutes."""
        from fsspec.asyn import sync  # type: ignore[import-untyped]

        return sync(self.files.loop, call, path, timeout=_PATIENCE)

    def _check_exists(self) -> None:
        try:
            exists = bool(self._within(self.files._exists, self.name))
        except FileNotFoundError:
            exists = False
        if not exists:
            raise StorageError(
                f"there is no bucket {self.name!r}: create it or correct the URI", reason="ArtifactMissing"
            )


def same(entry: Entry, path: Path, *, unless_told: bool) -> bool:
    """Whether an object holds the bytes of a file, by the checksum that the store keeps.

    Where it keeps none, objects of the right size count as `unless_told` says.
    """
    if entry.size != path.stat().st_size:
        return False
    return unless_told if entry.md5 is None else entry.md5 in _md5s(path)


def _md5s(path: Path) -> tuple[str, str]:
    """Of the whole, and as S3 makes it of an object that came in parts."""
    whole, parts = hashlib.md5(usedforsecurity=False), []
    with path.open("rb") as stream:
        while block := stream.read(_PART):
            whole.update(block)
            parts.append(hashlib.md5(block, usedforsecurity=False).digest())
    joined = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return whole.hexdigest(), f"{joined}-{len(parts)}"


def _entry(key: str, info: Mapping[str, Any]) -> Entry:
    size = int(info["size"] or 0)
    tag = str(info.get("ETag") or info.get("etag") or info.get("generation") or "").strip('"')
    encoded = info.get("md5Hash") or (info.get("content_settings") or {}).get("content_md5")
    md5: str | None = tag.lower() if "ETag" in info else None
    if encoded:
        md5 = (bytes(encoded) if not isinstance(encoded, str) else base64.b64decode(encoded)).hex()
    return Entry(key=key, size=size, mark=f"{size} {tag}", md5=md5)


def _options(scheme: str) -> dict[str, Any]:
    if scheme == "s3":
        endpoint = _s3_endpoint()
        return {
            "endpoint_url": endpoint,
            "client_kwargs": {"region_name": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")},
            "config_kwargs": {
                "connect_timeout": 5,
                "read_timeout": 60,
                "retries": {"max_attempts": 3, "mode": "standard"},
                # Servers other than Amazon's seldom resolve bucket names as hosts, and seldom know trailing checksums.
                "s3": {"addressing_style": "path" if endpoint else "auto"},
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
        }
    if scheme == "gs":
        return {"token": "anon"} if os.environ.get("STORAGE_EMULATOR_HOST") else _google_credentials()
    return {"anon": False}


def _google_credentials() -> dict[str, Any]:
    """Those in GOOGLE_CREDENTIALS: a Secret of a cluster comes as variables, where Google's own way wants a file."""
    text = os.environ.get("GOOGLE_CREDENTIALS")
    if not text:
        return {}
    try:
        return {"token": dict(json.loads(text))}
    except (ValueError, TypeError, RecursionError):
        # Without the cause, which quotes what it could not read.
        raise BadSpec(
            "GOOGLE_CREDENTIALS is not the JSON of a key file: give the content of what the console downloads, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to its path"
        ) from None


def _s3_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


@contextlib.contextmanager
def _translated(scheme: str, bucket: str) -> Iterator[None]:
    """Turn what a client raises into one sentence."""
    try:
        yield
    except (StorageError, FileNotFoundError):
        raise
    except _errors(scheme) as error:
        raise _sentence(error, scheme=scheme, bucket=bucket) from error


def _errors(scheme: str) -> tuple[type[Exception], ...]:
    if scheme == "s3":
        from botocore.exceptions import BotoCoreError, ClientError

        return (OSError, ValueError, TimeoutError, BotoCoreError, ClientError)
    if scheme == "gs":
        from aiohttp import ClientError as HttpError
        from gcsfs.retry import HttpError as GcsError  # type: ignore[import-untyped]
        from google.auth.exceptions import GoogleAuthError

        return (OSError, ValueError, TimeoutError, HttpError, GcsError, GoogleAuthError)
    from azure.core.exceptions import AzureError

    return (OSError, ValueError, TimeoutError, AzureError)


_MISSING = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
_KEYLESS = ("NoCredentials", "PartialCredentials", "DefaultCredentials", "CredentialUnavailable", "must provide either")
_DENIED = (
    "AccessDenied",
    "Access Denied",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "ClientAuthentication",
    "does not exist in our records",
    "does not match the signature",
)


def _sentence(error: Exception, *, scheme: str, bucket: str) -> StorageError:
    # The text and the type are what the clients agree on: each has classes of its own for the same few troubles.
    chain = [error, *([error.__cause__] if error.__cause__ else [])]
    text = " ".join(f"{type(each).__name__} {each}" for each in chain)
    detail = " ".join(str(error).split())[:300]
    client = _CLIENTS[scheme]
    if any(word in text for word in _MISSING):
        return StorageError(f"there is no bucket {bucket!r}: create it or correct the URI", reason="ArtifactMissing")
    if any(word in text for word in _KEYLESS):
        return StorageError(
            f"there are no credentials for the bucket {bucket!r}: set {client.credentials} "
            "(in a cluster: the Secret named by the store's secretRef)",
            reason="StoreDenied",
        )
    if isinstance(error, PermissionError) or any(word in text for word in _DENIED):
        return StorageError(
            f"the store refuses access to the bucket {bucket!r} ({detail}): check its policy and the credentials",
            reason="StoreDenied",
        )
    where = (_s3_endpoint() or "Amazon S3") if scheme == "s3" else scheme
    return StorageError(
        f"the bucket {bucket!r} at {where} can't be used ({detail}): check {client.address} and the network"
    )
