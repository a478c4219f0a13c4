"""`hf://org/name@revision` (a model) and `hf://datasets/org/name@revision`: the Hugging Face hub, pinned.

A branch or a tag can be moved to other files at any time; 40 hexadecimal digits can't. HF_TOKEN and HF_ENDPOINT count.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from model_builder import authorities
from model_builder.errors import BadData, BadSpec, StorageError

_URI = re.compile(
    r"hf://(?P<data>datasets/)?(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})(?P<path>(/[^/?#@]+)*)"
)


def check(uri: str, *, where: str) -> None:
    """Refuse what is not pinned."""
    match = _URI.fullmatch(uri)
    if not match or ".." in match["path"].split("/"):
        raise BadSpec(
            f"{where} is {uri!r}; it must be hf://ORG/NAME@REVISION or hf://ORG/NAME@REVISION/PATH with a revision of "
            "40 hexadecimal digits (a branch may change under the same name): its history tells it"
        )


def identity(uri: str) -> Any:
    """The URI: what a revision of 40 digits names never changes."""
    return uri


def fetch(uri: str, *, to: Path, limit: int) -> Path:
    """Download the files of a revision, or the one that the URI names. The hub's client resumes and verifies."""
    try:
        import huggingface_hub as hub
        from httpx2 import HTTPError
        from huggingface_hub import errors
    except ImportError as error:
        raise BadSpec("hf:// needs huggingface_hub: install the extra 'huggingface'") from error
    match = _URI.fullmatch(uri)
    assert match is not None
    kind = "dataset" if match["data"] else "model"
    path = match["path"].strip("/")
    # The client reads it once, when it is imported; here it counts whenever it is set.
    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        api = hub.HfApi(endpoint=endpoint)
        info = api.repo_info(match["name"], revision=match["revision"], repo_type=kind, files_metadata=True)
        if info.sha != match["revision"]:
            raise BadData(f"{uri} was answered with revision {info.sha}: refused")
        files = getattr(info, "siblings", None) or []
        wanted = [s for s in files if not path or s.rfilename == path or s.rfilename.startswith(path + "/")]
        if not wanted:
            raise BadData(f"{match['name']} has no file {path!r} at that revision: check the path")
        size = sum(sibling.size or 0 for sibling in wanted)
        if size > limit:
            raise BadData(f"{uri} has {size} bytes, allowed are {limit}: name one file, or raise maxBytes")
        names = [sibling.rfilename for sibling in wanted]
        hub.snapshot_download(
            match["name"],
            revision=match["revision"],
            repo_type=kind,
            local_dir=to,
            allow_patterns=names,
            endpoint=endpoint,
        )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise StorageError(
            f"the hub has no {match['name']} at that revision, or hides it: check name, revision and HF_TOKEN",
            reason="ArtifactMissing",
        ) from error
    except errors.HfHubHTTPError as error:
        denied = error.response is not None and error.response.status_code in (401, 403)
        raise StorageError(
            f"the hub refuses {match['name']} ({' '.join(str(error).split())[:200]}): check HF_TOKEN and HF_ENDPOINT",
            reason="StoreDenied" if denied else "StoreUnreachable",
        ) from error
    except (OSError, HTTPError) as error:
        raise authorities.refused(error, place="the hub") or StorageError(
            f"the hub can't be used ({' '.join(str(error).split())[:200]}): check HF_ENDPOINT and the network"
        ) from error
    return to / path if path else to
