"""Where a model comes from: suffix of its file -> loader. A new format is a new file and a line here."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from model_builder import architectures, remote
from model_builder.artifact import hash_file
from model_builder.decode import suggest
from model_builder.errors import BadData, BadSpec
from model_builder.sources import builtin, onnx, program, safety, weights
from model_builder.sources.base import Source, SourceModel, WantedEnds

__all__ = ["Source", "SourceModel", "check", "describe", "fetch", "load"]

_BUILTIN = "builtin"
#: Suffix -> loader(path, name, source, scratch, fresh): the nearer to the front, the better a file is to start from.
FORMATS: Mapping[str, Callable[..., SourceModel]] = {
    ".safetensors": weights.load_safetensors,
    ".onnx": onnx.load,
    ".pt2": program.load,
    ".pt": weights.load_state,
    ".pth": weights.load_state,
    ".bin": weights.load_state,
}
#: Suffixes of models that bring their network.
WHOLE = (".onnx", ".pt2")


def check(source: Source, *, where: str = "spec.source") -> None:
    """Refuse a source that can't be read, before anything is fetched. BadSpec."""
    parts = urlsplit(source.uri)
    if source.architecture not in architectures.REGISTRY:
        known = suggest(source.architecture, architectures.REGISTRY)
        raise BadSpec(f"{where}.architecture is {source.architecture!r}; {known}")
    if parts.scheme == _BUILTIN:
        builtin.check(source.uri)
        if source.code is not None or source.file is not None:
            raise BadSpec(f"{where}: 'code' and 'file' have no effect on {source.uri!r}: remove them")
        if source.head != "Keep":
            raise BadSpec(f"{where}.head has no effect on {source.uri!r}, all of which is fresh: remove it")
        network = builtin.name_of(source.uri)
        architectures.check(network, parameters=source.parameters, where=f"{where}.parameters")
        return
    if source.code is not None and source.parameters:
        raise BadSpec(f"{where}.parameters is for built-in networks: move it to {where}.code.parameters")
    architectures.check(source.architecture, parameters=source.parameters, where=f"{where}.parameters")
    if parts.scheme not in remote.MODULES:
        raise BadSpec(f"{where}.uri is {source.uri!r}; schemes: {suggest(parts.scheme, [*remote.MODULES, _BUILTIN])}")
    remote.check(source.uri, where=f"{where}.uri")
    safety.check_name(source.file or parts.path, where=where)


def describe(source: Source) -> dict[str, object]:
    """What the spec says of it, for the manifest, with what made the network under `architecture`."""
    if urlsplit(source.uri).scheme == _BUILTIN:
        name = builtin.name_of(source.uri)
    else:
        name = source.code.factory if source.code else source.architecture
    return {"uri": source.uri, "architecture": name, "parameters": dict(source.parameters), "head": source.head}


def fetch(source: Source, *, workspace: Path) -> Path | None:
    """The file or folder that a source names, in the workspace or where it is already; None if it is built in.

    Raises BadData for what is too large, StorageError for what can't be had.
    """
    if urlsplit(source.uri).scheme == _BUILTIN:
        return None
    to = _scratch(workspace) / "fetched"
    return remote.fetch(source.uri, to=to, limit=source.max_bytes, where="spec.source.uri")


def load(
    source: Source, *, seed: int, workspace: Path, ends: WantedEnds | None = None, fetched: Path | None = None
) -> SourceModel:
    """The source model, ready for the first pass: checked, and given its weights.

    Args:
        source: from the spec.
        seed: of fresh weights.
        workspace: a folder for files.
        ends: what the data asks of the network; needed for one of `architectures.SIZED`.
        fetched: what `fetch` gave; without it the source is fetched now.

    Raises BadData for what can't or must not be loaded, and what `fetch` raises.
    """
    fetched = fetched or fetch(source, workspace=workspace)
    if fetched is None:
        return builtin.load(source.uri, seed=seed, parameters=source.parameters, ends=ends)
    path = _model_file(fetched, source=source)
    name = source.uri if path == fetched else f"{source.uri}/{path.relative_to(fetched).as_posix()}"
    suffix = _suffix(path, uri=source.uri) if path == fetched else path.suffix
    if source.head != "Keep" and suffix in WHOLE:
        raise BadSpec(f"spec.source.head has no effect on a {suffix} file, which is a whole model: remove it")
    beside = fetched if fetched.is_dir() else path.parent
    fresh = functools.partial(weights.network, source, seed=seed, folder=beside, ends=ends)
    made = FORMATS[suffix](path, name=name, source=source, scratch=_scratch(workspace), fresh=fresh)
    return dataclasses.replace(made, digest=_digest(path, source=source, fetched=fetched))


def _scratch(workspace: Path) -> Path:
    """The builder's own: a source on disk is somebody else's, and what is written beside it would be part of it."""
    folder = workspace / "source"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(path: Path, *, source: Source, fetched: Path) -> str:
    """Of the file of weights, and of the code that came with it."""
    if source.code is None or source.code.path is None:
        return "sha256:" + hash_file(path)
    both = hash_file(path) + hash_file(fetched / source.code.path)
    return "sha256:" + hashlib.sha256(both.encode()).hexdigest()


def _model_file(fetched: Path, *, source: Source) -> Path:
    if fetched.is_file():
        if source.file is not None:
            raise BadData(f"{source.uri} is one file: remove spec.source.file ({source.file!r})")
        _suffix(fetched, uri=source.uri)
        return fetched
    if source.file is not None:
        path = fetched / source.file
        if not path.is_file() or not path.resolve().is_relative_to(fetched.resolve()):
            raise BadData(f"{source.uri} has no file {source.file!r}: correct spec.source.file")
        safety.check_name(source.file, where="spec.source")
        return path
    for suffix in FORMATS:
        found = sorted(path for path in fetched.rglob(f"*{suffix}") if path.is_file())
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.relative_to(fetched).as_posix() for path in found[:4])
            raise BadData(f"{source.uri} has several {suffix} files ({names}): name one in spec.source.file")
    raise safety.nothing_usable(fetched, uri=source.uri, formats=list(FORMATS))


def _suffix(path: Path, *, uri: str) -> str:
    """That of the URI: what was downloaded has a name of our own."""
    suffix = Path(urlsplit(uri).path).suffix if path.suffix not in FORMATS else path.suffix
    if suffix not in FORMATS:
        raise BadData(f"{uri} ends with none of {', '.join(FORMATS)}: rename it, or export the model again")
    return suffix
