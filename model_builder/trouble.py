"""Failures of the machine, as sentences: libraries report a lack of memory or of disk in many ways."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from model_builder.errors import BuildError, OutOfMemory, StorageError

#: What libraries of C++ and Rust, and the dynamic loader, write where Python has MemoryError.
_MEMORY = (
    "allocate memory",
    "out of memory",
    "bad_alloc",
    "bad allocation",
    "failed to map segment",
    "can't start new thread",
)
_DISK = ("no space left on device", "disk quota exceeded", "os error 28")
#: With less than this left, a library that failed has most likely read back a file that it could not write whole.
_NOTHING_FREE = 2**20


@contextlib.contextmanager
def translated(place: Path) -> Iterator[None]:
    """Turn a lack of memory, or of space at `place`, into a BuildError; anything else goes through as it is.

    Raises:
        OutOfMemory: an allocation failed.
        StorageError: the disk is full.
    """
    try:
        yield
    except BuildError:
        raise
    except Exception as error:  # libraries tell a lack of memory or space in types of their own; others go on
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(phrase in text for phrase in _MEMORY):
            raise OutOfMemory("the build ran out of memory: raise the memory limit, or lower batchSize") from error
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or any(phrase in text for phrase in _DISK) or _is_full(place):
            raise StorageError(
                f"the disk of {place} is full: free space or enlarge the volume", reason="DiskFull"
            ) from error
        raise


def _is_full(place: Path) -> bool:
    try:
        return shutil.disk_usage(place).free < _NOTHING_FREE
    except OSError:
        return False
