"""One change of a cluster at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from localcluster.layout import Layout


@contextlib.contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Let one ``up`` or ``down`` at a time change a cluster; others wait."""
    descriptor = _acquire(layout)
    try:
        yield
    finally:
        os.close(descriptor)


def _acquire(layout: Layout) -> int:
    """Lock the file that is there now: ``down`` may have removed the one that was waited for."""
    while True:
        layout.lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(layout.lock, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == layout.lock.stat().st_ino:
                return descriptor
        os.close(descriptor)
