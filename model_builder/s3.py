"""One bucket through boto3; the only place that knows boto3's errors.

Address and credentials come from the environment as for every AWS tool: AWS_ENDPOINT_URL, AWS_REGION,
AWS_ACCESS_KEY_ID and so on, or the role of the pod.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_builder.errors import StorageError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

_MISSING_OBJECT = {"404", "NoSuchKey", "NotFound"}
_DENIED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}


class ObjectMissing(Exception):  # noqa: N818 - named for what happened
    """The bucket answers, but has no such object."""


@dataclass(frozen=True)
class Bucket:
    """The verbs that sources and stores need."""

    name: str
    client: S3Client

    @classmethod
    def open(cls, name: str) -> Bucket:
        """A client with short patience: an unreachable store must fail a Job in seconds, not in minutes."""
        import boto3
        from botocore.config import Config

        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        config = Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"max_attempts": 3, "mode": "standard"},
            # Servers other than Amazon's seldom resolve bucket names as host names, and seldom know trailing checksums.
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        session = boto3.session.Session()  # the default one would remember credentials of an earlier call
        with _translated(name):
            return cls(name=name, client=session.client("s3", config=config, region_name=region, endpoint_url=endpoint))

    def exists(self, *, key: str) -> bool:
        """Whether there is such an object."""
        try:
            with _translated(self.name):
                self.client.head_object(Bucket=self.name, Key=key)
        except ObjectMissing:
            # A missing bucket gives the same bare 404: ask which of the two it is.
            with _translated(self.name, missing_bucket=True):
                self.client.head_bucket(Bucket=self.name)
            return False
        return True

    def upload(self, *, path: Path, key: str) -> None:
        """Store a file; an object appears whole or not at all."""
        with _translated(self.name):
            self.client.upload_file(str(path), self.name, key)

    def download(self, *, key: str, to: Path) -> None:
        """Fetch an object into a file."""
        try:
            with _translated(self.name):
                self.client.download_file(self.name, key, str(to))
        except ObjectMissing as error:
            raise StorageError(
                f"the bucket {self.name!r} has no object {key!r}: check the URI", reason="ArtifactMissing"
            ) from error


@contextlib.contextmanager
def _translated(bucket: str, *, missing_bucket: bool = False) -> Iterator[None]:
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StorageError(
            f"there are no credentials for the bucket {bucket!r}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(in a cluster: the Secret named by the store's secretRef)",
            reason="StoreDenied",
        ) from error
    except ClientError as error:
        raise _from_answer(error, bucket=bucket, missing_bucket=missing_bucket) from error
    except S3UploadFailedError as error:
        cause = error.__context__
        if isinstance(cause, ClientError):
            raise _from_answer(cause, bucket=bucket, missing_bucket=missing_bucket) from error
        raise _unreachable(bucket, error) from error
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise _unreachable(bucket, error) from error


def _from_answer(error: ClientError, *, bucket: str, missing_bucket: bool) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket" or (missing_bucket and code in _MISSING_OBJECT):
        return StorageError(f"there is no bucket {bucket!r}: create it or correct the URI", reason="ArtifactMissing")
    if code in _MISSING_OBJECT:
        return ObjectMissing()
    if code in _DENIED:
        return StorageError(
            f"the store refuses access to the bucket {bucket!r} ({code}): check its policy and the credentials",
            reason="StoreDenied",
        )
    return _unreachable(bucket, error)


def _unreachable(bucket: str, error: Exception) -> StorageError:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "Amazon S3"
    detail = " ".join(str(error).split())[:300]
    advice = "check AWS_ENDPOINT_URL and the network"
    return StorageError(f"the bucket {bucket!r} at {endpoint} can't be used ({detail}): {advice}")
