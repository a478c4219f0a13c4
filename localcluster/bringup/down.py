"""``down``: end every process and remove every trace but, on request, the images."""

import contextlib
import shutil
from pathlib import Path

from localcluster import cgroups, namespaces
from localcluster.errors import ClusterError
from localcluster.layout import Layout

# What survives ``down``: images, which can take a minute to unpack.
_KEPT = frozenset({"containerd"})


def stop(layout: Layout) -> None:
    """Kill everything that runs. Mounts, devices and containers end with their namespaces; cgroups do not."""
    namespaces.end(state=layout.root)
    cgroups.remove(name=layout.cgroup)
    if left := cgroups.leftovers(name=layout.cgroup):
        msg = f"these cgroups could not be removed: {', '.join(map(str, left))}; see which process is in their tasks"
        raise ClusterError(msg)


def wipe(layout: Layout) -> None:
    """Remove the state of a stopped cluster, except its images."""
    for path in _entries(layout.root):
        if path.name not in _KEPT:
            _remove(path)
    if not _entries(layout.root):
        purge(layout)


def purge(layout: Layout) -> None:
    """Remove the state of a stopped cluster, images and the lock that the caller holds included."""
    _remove(layout.root)
    layout.lock.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return list(folder.iterdir())
    return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
