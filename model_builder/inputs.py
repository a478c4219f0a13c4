"""What a build starts from: the source model and the data, each known by a cheap identity before it is loaded."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from model_builder import architectures, data, identity, remote, sources
from model_builder.architectures.base import Ends
from model_builder.artifact import hash_file
from model_builder.cache import Cache, key_of

if TYPE_CHECKING:
    from model_builder.data.base import Dataset
    from model_builder.progress import Reporter
    from model_builder.sources.base import SourceModel
    from model_builder.spec import Spec

_BUILTIN, _FILE, _DIGEST = "builtin", "file", "digest"


@dataclass(frozen=True)
class Inputs:
    """Source and data of one spec. Nothing is loaded before it is asked for."""

    spec: Spec
    reporter: Reporter
    workspace: Path
    cache: Cache

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data, read and split."""
        self.reporter.phase("data")
        return data.load(self.spec.data, workspace=self.workspace)

    def source(self) -> SourceModel:
        """The source model: a new network at every call, since passes change what they are given."""
        self.reporter.phase("source")
        return sources.load(
            self.spec.source,
            seed=self.spec.data.seed,
            workspace=self.workspace,
            ends=lambda: Ends.of(self.dataset),
            fetched=self._fetched,
        )

    @functools.cached_property
    def _fetched(self) -> Path | None:
        """Once in a build, which loads it for its digest, for its passes, and for what its last network is held to."""
        return sources.fetch(self.spec.source, workspace=self.workspace)

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
        """Its digest, and all else that the loaded network follows from."""
        section = dataclasses.asdict(self.spec.source)
        parts = urlsplit(self.spec.source.uri)
        if parts.scheme == _BUILTIN:
            name = parts.netloc + parts.path
            code = identity.code_digest(architectures.REGISTRY[name].__module__)
            return [_BUILTIN, name, section["parameters"], code]
        code = identity.code_digest(architectures.REGISTRY[self.spec.source.architecture].__module__)
        uris = [self.spec.source.uri]
        digest = self._remembered(["source", section, code], uris=uris, read=self._read_source)
        # The digest is that of one file of weights; a graph may have data beside it, and code more files.
        return [digest, section, code, self._identities(uris), _data_beside(uris[0])]

    def _read_source(self) -> str:
        digest = self.source().digest
        assert digest is not None, "what was fetched has one"
        return digest

    @functools.cached_property
    def _data(self) -> list[Any]:
        """Its digest, and all else that the rows follow from."""
        section, code = dataclasses.asdict(self.spec.data), identity.folder_digest("data")
        digest = self._remembered(
            ["data", section, code], uris=list(self.spec.data.uris.values()), read=lambda: self.dataset.digest
        )
        return [section, digest, code]

    def _remembered(self, what: list[Any], *, uris: Sequence[str], read: Callable[[], str]) -> str:
        """The digest of what was read from these places: by an earlier build, or now where one of them changed."""
        before = self._identities(uris)
        if before is None:
            return read()
        if all(urlsplit(uri).scheme == _FILE for uri in uris):  # those of files are hashes of what is in them
            return before[0] if len(before) == 1 and isinstance(before[0], str) else key_of(*before)
        key = key_of("read", what, before, identity.versions())
        known = self.cache.figures(key)
        if known is not None:
            return str(known[_DIGEST])
        digest = read()
        if self._identities(uris) == before:  # else it changed while it was read
            nothing = self.workspace / "nothing"
            nothing.mkdir(exist_ok=True)
            self.cache.store(key, files=nothing, figures={_DIGEST: digest})
        return digest

    @staticmethod
    def _identities(uris: Sequence[str]) -> list[Any] | None:
        """None where a place has none."""
        found = [remote.identity(uri, where="spec") for uri in uris]
        return None if None in found else found


def _data_beside(uri: str) -> list[str]:
    """Hashes of the files of data that a single graph on disk names; of all else the identity covers every file."""
    path = Path(unquote(urlsplit(uri).path))
    if urlsplit(uri).scheme != _FILE or path.suffix != ".onnx" or not path.is_file():
        return []
    from model_builder.sources import onnx

    return [hash_file(file) if file.is_file() else "" for file in onnx.data_files(path)]
