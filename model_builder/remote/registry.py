"""`mlflow://NAME/VERSION` and `mlflow://NAME/VERSION/PATH`: a version of a model in an MLflow registry.

The server is that of MLFLOW_TRACKING_URI. An alias moves to other versions: a build that is to be repeated names one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from model_builder import authorities
from model_builder.errors import BadData, BadSpec, StorageError

_URI = re.compile(r"mlflow://(?P<name>[^/@?#]+)/(?P<version>\d+)(?P<path>(/[^/?#]+)*)")
#: The client's own patience is minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


def check(uri: str, *, where: str) -> None:
    """Refuse what names no version."""
    match = _URI.fullmatch(uri)
    if not match or ".." in match["path"].split("/"):
        raise BadSpec(
            f"{where} is {uri!r}; it must be mlflow://NAME/VERSION or mlflow://NAME/VERSION/PATH with the number of a "
            "version (an alias or a stage may move to another one)"
        )


def identity(uri: str) -> Any:
    """None: files of a version can be replaced under its number, and the server tells no more than their sizes."""
    del uri


def fetch(uri: str, *, to: Path, limit: int) -> Path:
    """Download the artifacts of a version, or those below the path."""
    match = _URI.fullmatch(uri)
    assert match is not None
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise StorageError(f"{uri} is in an MLflow registry: set MLFLOW_TRACKING_URI to its address")
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import artifacts
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise BadSpec("mlflow:// needs mlflow-skinny: install the extra 'mlflow'") from error
    path = match["path"].strip("/")
    model = f"models:/{quote(match['name'])}/{match['version']}"
    try:
        size = _size(artifacts.list_artifacts, model, path=path)
        if size > limit:
            raise BadData(f"{uri} has {size} bytes, allowed are {limit}: name one file, or raise maxBytes")
        to.mkdir(parents=True, exist_ok=True)
        artifacts.download_artifacts(artifact_uri=f"{model}/{path}".rstrip("/"), dst_path=str(to))
    except (MlflowException, OSError) as error:
        raise _sentence(error, uri=uri) from error
    return to / path if path else to


def _size(listed: Callable[..., Any], model: str, *, path: str) -> int:
    """Bytes below a path, or of the file there; a path that is not there has none."""
    entries = listed(artifact_uri=f"{model}/{path}".rstrip("/"))
    if not entries and path:
        folder = path.rpartition("/")[0]
        beside = listed(artifact_uri=f"{model}/{folder}".rstrip("/"))
        return sum(int(entry.file_size or 0) for entry in beside if entry.path == path and not entry.is_dir)
    return sum(_size(listed, model, path=e.path) if e.is_dir else int(e.file_size or 0) for e in entries)


def _sentence(error: Exception, *, uri: str) -> StorageError:
    if untrusted := authorities.refused(error, place="the MLflow registry"):
        return untrusted
    detail = " ".join(str(error).split())[:200]
    code = str(getattr(error, "error_code", ""))
    if code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND") or "404" in detail or "No such artifact" in detail:
        return StorageError(f"there is nothing at {uri} ({detail}): check name and version", reason="ArtifactMissing")
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED") or " 401" in detail or " 403" in detail:
        return StorageError(
            f"the MLflow registry refuses {uri} ({detail}): check MLFLOW_TRACKING_USERNAME, ..._PASSWORD or ..._TOKEN",
            reason="StoreDenied",
        )
    return StorageError(f"the MLflow registry can't be used ({detail}): check MLFLOW_TRACKING_URI and the network")
