"""What a build starts from: the source model and the data, each known by a cheap identity before it is loaded."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from model_builder import architectures, data, identity, sources
from model_builder.architectures.base import Ends
from model_builder.artifact import hash_file
from model_builder.cache import key_of

if TYPE_CHECKING:
    from model_builder.data.base import Dataset
    from model_builder.progress import Reporter
    from model_builder.sources.base import SourceModel
    from model_builder.spec import Spec

_BUILTIN = "builtin"


@dataclass(frozen=True)
class Inputs:
    """Source and data of one spec. Nothing is loaded before it is asked for."""

    spec: Spec
    reporter: Reporter
    workspace: Path

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data, read and split."""
        self.reporter.phase("data")
        return data.load(self.spec.data, workspace=self.workspace)

    def source(self) -> SourceModel:
        """The source model: a new network at every call, since passes change what they are given."""
        self.reporter.phase("source")
        return sources.load(
            self.spec.source, seed=self.spec.data.seed, workspace=self.workspace, ends=lambda: Ends.of(self.dataset)
        )

    @property
    def source_digest(self) -> str | None:
        """The digest of the source's weights; None where it has none."""
        digest = self._source[0]
        return None if digest == _BUILTIN else digest

    @functools.cached_property
    def origin(self) -> str:
        """The key of all that is there before the first pass."""
        return key_of("origin", self._source, self._data, identity.versions(), identity.machine())

    @functools.cached_property
    def _source(self) -> list[Any]:
        section = dataclasses.asdict(self.spec.source)
        parts = urlsplit(self.spec.source.uri)
        if parts.scheme == _BUILTIN:
            name = parts.netloc + parts.path
            code = identity.code_digest(architectures.REGISTRY[name].__module__)
            return [_BUILTIN, name, section["parameters"], code]
        code = identity.code_digest(architectures.REGISTRY[self.spec.source.architecture].__module__)
        return [_on_disk(self.spec.source.uri) or self.source().digest, section, code]

    @functools.cached_property
    def _data(self) -> list[object]:
        section = self.spec.data
        parts: dict[str, str | None] = {name: _on_disk(uri) for name, uri in section.uris.items()}
        if None in parts.values():
            # What is elsewhere has to be fetched anyway to know whether it changed.
            parts = {"read": self.dataset.digest}
        return [dataclasses.asdict(section), parts, identity.folder_digest("data")]


def _on_disk(uri: str) -> str | None:
    """A hash over a file or over the files of a folder; None if it is not there, or not on this machine."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        return None
    path = Path(unquote(parts.path))
    if path.is_dir():
        return key_of({p.relative_to(path).as_posix(): hash_file(p) for p in sorted(path.rglob("*")) if p.is_file()})
    return "sha256:" + hash_file(path) if path.is_file() else None
