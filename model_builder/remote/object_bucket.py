"""A bucket or container: finding, fetching and storing objects, and telling whether one is a file's copy."""

from __future__ import annotations

import base64
import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_builder.errors import BadSpec, StorageError
from model_builder.remote.object_clients import CLIENTS, options, translated

_BLOCK = 16 << 20
#: Seconds that a question about one object may take, all attempts of the client together.
_PATIENCE = 20
#: Size of the parts of a large upload; the checksum that S3 keeps of such an object depends on it.
_PART = 50 << 20


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
        client = CLIENTS[scheme]
        try:
            module = importlib.import_module(client.package)
        except ImportError as error:
            package = client.package.split(".")[0]
            raise BadSpec(f"{scheme}:// needs {package}: install the extra {client.extra!r}") from error
        with translated(scheme, name):
            files = getattr(module, client.class_name)(
                skip_instance_cache=True, use_listings_cache=False, **options(scheme)
            )
        return cls(scheme=scheme, name=name, files=files)

    def find(self, key: str) -> tuple[Entry, ...]:
        """The object of this name, or all that lie below it as below a folder, by name."""
        alone = self.info(key) if key else None
        if alone is not None:
            return (alone,)
        with translated(self.scheme, self.name):
            try:
                found = self.files.find(self._path(key), detail=True)
            except FileNotFoundError:
                found = {}
        prefix = self.name + "/"
        entries = (_entry(path.removeprefix(prefix), info) for path, info in found.items())
        return tuple(sorted((e for e in entries if not e.key.endswith("/")), key=lambda entry: entry.key))

    def info(self, key: str) -> Entry | None:
        """The object of this name, None if there is none."""
        with translated(self.scheme, self.name):
            try:
                info = self._within(self.files._info, self._path(key))
            except FileNotFoundError:
                # A missing bucket gives the same answer: ask which of the two it is.
                self._check_exists()
                return None
        return _entry(key, info) if info["type"] == "file" else None

    def upload(self, path: Path, *, key: str) -> None:
        """Store a file; an object appears whole or not at all."""
        with translated(self.scheme, self.name):
            self.files.put_file(str(path), self._path(key), **({"chunksize": _PART} if self.scheme == "s3" else {}))

    def download(self, entry: Entry, *, to: Path) -> None:
        """Fetch an object; `to` appears when all of it is there, and until then what is there is kept."""
        part, note = to.with_name(to.name + ".part"), to.with_name(to.name + ".mark")
        if not note.exists() or note.read_text() != entry.mark:
            part.unlink(missing_ok=True)
            note.write_text(entry.mark)
        with part.open("ab") as out:
            while (start := out.tell()) < entry.size:
                with translated(self.scheme, self.name):
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

    def holds(self, entry: Entry, path: Path) -> bool:
        """Whether the object gives the bytes of a file: all of it is read."""
        if entry.size != path.stat().st_size:
            return False
        with path.open("rb") as stream:
            for start in range(0, entry.size, _BLOCK):
                with translated(self.scheme, self.name):
                    end = min(start + _BLOCK, entry.size)
                    block = self.files.cat_file(self._path(entry.key), start=start, end=end)
                if block != stream.read(_BLOCK):
                    return False
        return True

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


def same(entry: Entry, path: Path) -> bool:
    """Whether a store got the bytes of a file for an object, by the checksum that it keeps; no, where it keeps none."""
    return entry.size == path.stat().st_size and entry.md5 is not None and entry.md5 in _md5s(path)


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
