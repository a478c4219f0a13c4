"""The one release in a YAML file, for the commands that need no cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelrelease.cli.errors import CommandError
from modelrelease.cli.lint import lint
from modelrelease.domain import codec
from modelrelease.domain.naming import KIND
from modelrelease.domain.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Written:
    """A release as it is written in a file."""

    name: str
    namespace: str | None
    spec: Spec


def read_release(file: str) -> Written:
    """Return the one release in a YAML file; `steps: auto` is the same as none.

    Raises:
        CommandError: there is no such release, or the API would refuse it.

    """
    found = [document for document in documents(file) if isinstance(document, Mapping) and document.get("kind") == KIND]
    if len(found) != 1:
        raise CommandError(f"{file} holds {len(found)} {KIND}s: write the one that is meant into a file of its own")
    release = _without_auto(found[0])
    problem = next(lint(yaml.safe_dump(release)), None)
    if problem is not None:
        raise CommandError(f"{file}: {problem}")
    meta = release["metadata"]
    return Written(name=meta["name"], namespace=meta.get("namespace"), spec=codec.decode(Spec, release["spec"], "spec"))


def _without_auto(release: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = release.get("spec")
    if not isinstance(spec, Mapping):
        return release
    rollout = spec.get("rollout")
    if not isinstance(rollout, Mapping) or rollout.get("steps") != "auto":
        return release
    planned = {name: value for name, value in rollout.items() if name != "steps"}
    return {**release, "spec": {**spec, "rollout": planned}}


def documents(file: str) -> list[Any]:
    """Return the documents of a YAML file that hold anything.

    Raises:
        CommandError: it can't be read, or is not YAML.

    """
    try:
        return [document for document in yaml.safe_load_all(read(file)) if document is not None]
    except yaml.YAMLError as error:
        raise CommandError(f"{file} is not YAML: {' '.join(str(error).split())}") from error


def read(file: str) -> str:
    """Return the text of a file.

    Raises:
        CommandError: it can't be read.

    """
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} can not be read: {error}") from error
