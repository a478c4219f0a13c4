"""How each object store is spoken to: package, address, credentials, and what its errors mean in one sentence."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model_builder import authorities
from model_builder.errors import BadSpec, StorageError


@dataclass(frozen=True)
class Client:
    """The package that speaks to a store, and what a person can do where it fails."""

    package: str
    class_name: str
    extra: str
    address: str
    credentials: str


CLIENTS: Mapping[str, Client] = {
    "s3": Client("s3fs", "S3FileSystem", "puller", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    # The plain client: the one at the top of the package speaks gRPC as well, past STORAGE_EMULATOR_HOST.
    "gs": Client("gcsfs.core", "GCSFileSystem", "gcs", "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"),
    "az": Client(
        "adlfs", "AzureBlobFileSystem", "azure", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"
    ),
}


def options(scheme: str) -> dict[str, Any]:
    """Keywords of the client: what it is to take from the environment, and with how much patience."""
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
def translated(scheme: str, bucket: str) -> Iterator[None]:
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
    where = (_s3_endpoint() or "Amazon S3") if scheme == "s3" else scheme
    if untrusted := authorities.refused(error, place=f"the store of the bucket {bucket!r} at {where}"):
        return untrusted
    # The text and the type are what the clients agree on: each has classes of its own for the same few troubles.
    chain = [error, *([error.__cause__] if error.__cause__ else [])]
    text = " ".join(f"{type(each).__name__} {each}" for each in chain)
    detail = " ".join(str(error).split())[:300]
    if isinstance(error, TimeoutError) and not detail:
        # gcsfs goes on trying after a refused certificate, and never comes to tell of it.
        detail = "it did not answer in time, or its certificate is not trusted: build.caBundle adds an authority"
    client = CLIENTS[scheme]
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
    return StorageError(
        f"the bucket {bucket!r} at {where} can't be used ({detail}): check {client.address} and the network"
    )
