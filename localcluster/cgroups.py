"""The cluster's own cgroup: under it the kubelet makes those of the pods, and ``down`` removes them all.

Works on both versions: with version 1 there is one tree per controller and each needs the folder.
"""

import contextlib
import os
import time
from pathlib import Path

_DEADLINE_S = 10
_V2_CONTROLLERS = "+cpu +cpuset +memory +pids"


def trees() -> list[Path]:
    """Return the root of every cgroup tree that is mounted."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(fields[1]) for fields in mounts if fields[2] in {"cgroup", "cgroup2"}]


def make(*, name: str) -> None:
    """Make the cgroup in every tree."""
    for tree in trees():
        if (tree / "cgroup.subtree_control").exists():
            with contextlib.suppress(OSError):  # in a hybrid set-up the controllers belong to version 1
                (tree / "cgroup.subtree_control").write_text(_V2_CONTROLLERS)
        group = tree / name
        group.mkdir(exist_ok=True)
        # In version 1 a new cpuset is empty, and an empty one refuses every process.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (group / file).exists() and not (group / "cgroup.controllers").exists():
                (group / file).write_text((tree / file).read_text())


def remove(*, name: str) -> None:
    """Remove the cgroup and everything under it, waiting for processes that are still being torn down."""
    deadline = time.monotonic() + _DEADLINE_S
    for tree in trees():
        while (tree / name).exists():
            for folder, _, _ in os.walk(tree / name, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)


def leftovers(*, name: str) -> list[Path]:
    """Return what is left of the cgroup."""
    return [tree / name for tree in trees() if (tree / name).exists()]
