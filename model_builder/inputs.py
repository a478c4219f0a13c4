"""What a build starts from: the source model and the data, each known by a cheap identity before it is loaded."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from model_builder import architectures, data, identity, sources
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
        return data.REGISTRY[self.spec.data.name](self.spec.data.seed)

    def source(self) -> SourceModel:
        """The source model: a new network at every call, since passes change what they are given."""
        self.reporter.phase("source")
        spec = self.spec
        return sources.load(
            uri=spec.source.uri, architecture=spec.source.architecture, seed=spec.data.seed, workspace=self.workspace
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
    def _source(self) -> list[str | None]:
        parts = urlsplit(self.spec.source.uri)
        if parts.scheme == "builtin":
            name = parts.netloc + parts.path
            return [_BUILTIN, name, identity.code_digest(architectures.REGISTRY[name].__module__)]
        path = Path(unquote(parts.path))
        known = parts.scheme == "file" and path.is_file()
        digest = "sha256:" + hash_file(path) if known else self.source().digest
        code = identity.code_digest(architectures.REGISTRY[self.spec.source.architecture].__module__)
        return [digest, self.spec.source.architecture, code]

    @functools.cached_property
    def _data(self) -> list[str]:
        name = self.spec.data.name
        return [name, json.dumps(self.spec.data.seed), identity.code_digest(data.REGISTRY[name].__module__)]
