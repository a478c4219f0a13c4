"""What earlier builds did, under names that say from what: the same inputs and the same code give the same name.

    <root>/v1/<key>/entry.json      the files of the entry with their sha256, and its figures; has a hash of its own
    <root>/v1/<key>/files/...       the files
    <root>/v1/checkpoints/<key>/    the unfinished state of one step

Entries appear by a rename, are verified whenever they are read, and never change. A cache is as trusted as the builds
that write it: its hashes find damage, not malice, and nothing in it is ever unpickled. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_builder.artifact import hash_file
from model_builder.errors import StorageError

_LAYOUT, _ENTRY, _FILES, _CHECKPOINTS = "v1", "entry.json", "files", "checkpoints"
#: Prefix of what is being written or deleted. Left over by a killed build, it goes after a day.
_TEMPORARY, _LEFTOVER_SECONDS = ".tmp-", 86_400
DEFAULT_LIMIT = 20 * 2**30
VARIABLE = "MODEL_BUILDER_CACHE"


def default_root() -> Path | None:
    """The user's cache folder, or None where there is none that can be written: a cache is a convenience."""
    named = os.environ.get(VARIABLE)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(named) if named else base / "model-builder"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return root if os.access(root, os.W_OK | os.X_OK) else None


def key_of(*parts: object) -> str:
    """The name of a result: a hash over everything that it follows from. Parts are JSON values."""
    text = json.dumps([_LAYOUT, *parts], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Cache:
    """One folder of entries, at most `limit` bytes; `tell` gets a sentence where something is worth one."""

    root: Path
    tell: Callable[[str], None]
    limit: int = DEFAULT_LIMIT

    @classmethod
    def open(cls, root: Path, *, tell: Callable[[str], None], limit: int = DEFAULT_LIMIT) -> Cache:
        """A cache in a folder that a person named: fails if it can't be used."""
        try:
            (root / _LAYOUT / _CHECKPOINTS).mkdir(parents=True, exist_ok=True)
            probe = root / _LAYOUT / f"{_TEMPORARY}{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StorageError(
                f"the cache {root} can't be written ({error.strerror}): check its permissions, or give another --cache",
                reason="StoreDenied",
            ) from error
        return cls(root=root, tell=tell, limit=limit)

    def figures(self, key: str) -> Mapping[str, Any] | None:
        """The figures of an entry alone; its files are not looked at."""
        entry = self._entry(key)
        return None if entry is None else dict(entry["figures"])

    def fetch(self, key: str, *, to: Path) -> Mapping[str, Any] | None:
        """Copy the files of an entry and return its figures; `to` is made, and is empty if there is no whole entry.

        A damaged entry is told, dropped and not served.
        """
        to.mkdir(parents=True, exist_ok=True)
        entry = self._entry(key)
        if entry is None:
            return None
        damage = self._copy(entry["files"], key=key, to=to)
        if damage is not None:
            self._drop(key, damage=damage)
            shutil.rmtree(to)
            to.mkdir()
            return None
        return dict(entry["figures"])

    def _copy(self, files: Mapping[str, str], *, key: str, to: Path) -> str | None:
        """Copy and verify; name the first file that is not what it should be."""
        folder = self._folder(key)
        for path, digest in files.items():
            target = to / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(folder / _FILES / path, target)
            except FileNotFoundError:
                return path
            if hash_file(target) != digest:
                return path
        with contextlib.suppress(FileNotFoundError):  # pruned by another build, but we have our copy
            os.utime(folder)  # what was used last is pruned last
        return None

    def store(self, key: str, *, files: Path, figures: Mapping[str, Any]) -> None:
        """Keep the files of a folder. A cache that can't take them is told: it costs the next build time, no more."""
        temporary = self.root / _LAYOUT / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            temporary.mkdir(parents=True)
            shutil.copytree(files, temporary / _FILES, copy_function=shutil.copyfile)
            found = sorted(p for p in (temporary / _FILES).rglob("*") if p.is_file())
            hashes = {p.relative_to(temporary / _FILES).as_posix(): hash_file(p) for p in found}
            (temporary / _ENTRY).write_text(_seal({"files": hashes, "figures": figures}))
            with contextlib.suppress(FileExistsError):
                _rename(temporary, self._folder(key))
            self._prune()
        except OSError as error:
            self.tell(f"the cache {self.root} could not keep a step ({error.strerror}): a rebuild will repeat it")
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self.forget_checkpoints(key)

    def checkpoints(self, key: str) -> Path:
        """The folder for the unfinished state of one step."""
        folder = self.root / _LAYOUT / _CHECKPOINTS / key
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        return folder

    def forget_checkpoints(self, key: str) -> None:
        """The step is finished: drop its unfinished state."""
        shutil.rmtree(self.root / _LAYOUT / _CHECKPOINTS / key, ignore_errors=True)

    def _folder(self, key: str) -> Path:
        return self.root / _LAYOUT / key

    def _entry(self, key: str) -> dict[str, Any] | None:
        try:
            text = (self._folder(key) / _ENTRY).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        entry = _unseal(text)
        if entry is None:
            self._drop(key, damage=_ENTRY)
        return entry

    def _drop(self, key: str, *, damage: str) -> None:
        self.tell(f"the cache entry {key[:12]} is damaged ({damage}): it is dropped, and the step is done again")
        _remove(self._folder(key))

    def _prune(self) -> None:
        """Drop what was used longest ago until the rest fits; the newest entry always stays."""
        now = time.time()
        sized = []
        for folder in self._everything():
            age = folder.stat().st_mtime
            if folder.name.startswith(_TEMPORARY):
                if now - age > _LEFTOVER_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            sized.append((age, _size(folder), folder))
        total = sum(size for _, size, _ in sized)
        for _, size, folder in sorted(sized, key=lambda entry: entry[0])[:-1]:
            if total <= self.limit:
                break
            _remove(folder)
            total -= size

    def _everything(self) -> Iterator[Path]:
        for parent in (self.root / _LAYOUT, self.root / _LAYOUT / _CHECKPOINTS):
            yield from (path for path in parent.iterdir() if path.is_dir() and path.name != _CHECKPOINTS)


def _seal(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest() + "\n" + text


def _unseal(text: str) -> dict[str, Any] | None:
    digest, _, body = text.partition("\n")
    if hashlib.sha256(body.encode()).hexdigest() != digest:
        return None
    entry: dict[str, Any] = json.loads(body)
    return entry


def _rename(temporary: Path, final: Path) -> None:
    """The same entry from another build at the same time is as good as ours."""
    try:
        temporary.rename(final)
    except OSError:
        if not final.exists():
            raise


def _remove(folder: Path) -> None:
    """By a rename first: nobody ever reads half an entry."""
    going = folder.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        folder.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total
