"""Unpacks .zip and .tar files that may have been made to do harm."""

from __future__ import annotations

import errno
import lzma
import shutil
import struct
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from model_builder.errors import BadData

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
_MOST_FILES = 1_000_000
_BLOCK = 1 << 20
_UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,  # zipfile's for an encrypted entry
    LookupError,
    struct.error,
    OSError,  # a damaged archive sends its readers to places that no file has
)


@dataclass(frozen=True)
class _Entry:
    name: str
    is_folder: bool
    is_file: bool
    stream: IO[bytes] | None


def unpack(path: Path, *, to: Path, name: str, limit: int) -> Path:
    """Unpack into `to`, which appears whole or not at all.

    `limit` counts bytes that were really unpacked, since what an archive says about its sizes can be wrong. Refused are
    paths that lead out of it, links, devices and encrypted entries. Raises BadData.
    """
    partial = to.with_name(f".incomplete-{uuid.uuid4().hex}")
    written, files = 0, 0
    try:
        for entry in _zip(path) if zipfile.is_zipfile(path) else _tar(path):
            target = _target(entry, root=partial, name=name)
            files += 1
            if files > _MOST_FILES:
                raise BadData(f"{name} has more than {_MOST_FILES} files: split it")
            if entry.is_folder or entry.stream is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as out:
                while block := entry.stream.read(_BLOCK):
                    written += len(block)
                    if written > limit:
                        raise BadData(
                            f"{name} unpacks to more than {limit} bytes: not unpacked, raise maxBytes if it may"
                        )
                    out.write(block)
        partial.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(to, ignore_errors=True)
        partial.rename(to)
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        detail = " ".join(str(error).split())[:200].replace(str(partial), "")
        raise BadData(f"{name} is no readable archive ({detail}): pack it again") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return to


def _zip(path: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = info.external_attr >> 28
            is_file = not info.is_dir() and kind in (0, 0o10)
            if not is_file:
                yield _Entry(name=info.filename, is_folder=info.is_dir(), is_file=False, stream=None)
                continue
            with archive.open(info) as stream:
                yield _Entry(name=info.filename, is_folder=False, is_file=True, stream=stream)


def _tar(path: Path) -> Iterator[_Entry]:
    with tarfile.open(path) as archive:
        for info in archive:
            stream = archive.extractfile(info) if info.isreg() else None
            yield _Entry(name=info.name, is_folder=info.isdir(), is_file=info.isreg(), stream=stream)


def _target(entry: _Entry, *, root: Path, name: str) -> Path:
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.name or "\0" in entry.name or ":" in entry.name:
        raise BadData(f"{name} has the entry {entry.name[:100]!r}, which leads out of the archive: refused")
    if not (entry.is_folder or entry.is_file):
        raise BadData(
            f"{name} has the entry {entry.name[:100]!r}, which is a link or a device: refused, pack plain files"
        )
    return root / path
