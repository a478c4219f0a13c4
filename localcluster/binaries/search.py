"""Find programs that are there already: in a folder that was given, or on PATH in a version that will do."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from localcluster import pins
from localcluster.errors import ClusterError

# Oldest version that is taken from PATH, and how to ask for it. A program that is not listed is never taken.
_KUBERNETES = ("1.36", ("--version",))
_ACCEPTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "kube-apiserver": _KUBERNETES,
    "kube-controller-manager": _KUBERNETES,
    "kube-scheduler": _KUBERNETES,
    "kubelet": _KUBERNETES,
    "kube-proxy": _KUBERNETES,
    "kubectl": ("1.36", ("version", "--client")),
    "etcd": ("3.6", ("--version",)),
    "containerd": ("2.1", ("--version",)),
    "ctr": ("2.1", ("--version",)),
    "containerd-shim-runc-v2": ("2.1", ("-v",)),
    "prometheus": ("3.0", ("--version",)),
}
# Taken together or not at all: they are tested against each other, and a skew of versions is a trap.
_TOGETHER = (
    ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
    ("containerd", "ctr", "containerd-shim-runc-v2"),
)
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.\d+)?")


def given(*, folder: Path, wanted: Iterable[pins.Program]) -> dict[str, Path]:
    """Return the wanted programs that lie in a folder the user named; their versions are the user's choice."""
    if not folder.is_dir():
        msg = f"--bin-dir {folder} is not a folder; give one that holds {', '.join(p.name for p in wanted)}"
        raise ClusterError(msg)
    paths = {program.name: (folder / program.name).absolute() for program in wanted}
    return {name: path for name, path in paths.items() if path.is_file()}


def on_path(*, wanted: Iterable[pins.Program]) -> dict[str, Path]:
    """Return the wanted programs that PATH offers in a version that is new enough."""
    found: dict[str, Path] = {}
    versions: dict[str, tuple[int, int]] = {}
    names = [program.name for program in wanted]
    for name in names:
        path, version = shutil.which(name), None
        if path and name in _ACCEPTED:
            version = _version(path, *_ACCEPTED[name][1])
        if path and version and version >= _parse(_ACCEPTED[name][0]):
            found[name], versions[name] = Path(path).absolute(), version
    for group in _TOGETHER:
        needed = [name for name in group if name in names]
        if {versions.get(name) for name in needed} != {versions.get(needed[0]) if needed else None}:
            for name in needed:
                found.pop(name, None)
    return found


def _version(*command: str) -> tuple[int, int] | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(done.stdout + done.stderr)
    return (int(match[1]), int(match[2])) if match else None


def _parse(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)
