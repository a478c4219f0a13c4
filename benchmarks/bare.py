"""What a newcomer waits for: from a clone without any cache to the demo's first release, and once more with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.settings import Settings
from localcluster.errors import ClusterError
from tests.runtime.operators import ROOT

_FIRST_RELEASE = "Ready; v1 stable"  # what the demo's lines say of it
_LIMIT_S = {"bare": 20 * 60.0, "bare-again": 90.0}
_MINUTE_S = 60


def from_bare(settings: Settings) -> Iterator[Figure]:
    """Run `make demo` in a new clone with empty caches up to its first release; twice."""
    with tempfile.TemporaryDirectory(prefix="bare-") as folder:
        home = Path(folder)
        clone = home / "checkout"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        environment = _without_caches(home)
        try:
            for key in _LIMIT_S:
                yield _figure(key, _seconds_to_first_release(clone, environment, name=f"{settings.name}-{key}"))
        finally:
            _unmount(home)


def _unmount(folder: Path) -> None:
    """Take away what the tool that builds images leaves mounted below its store: nobody could remove it else."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if Path(mount).is_relative_to(folder)]):
        subprocess.run(["umount", "--lazy", mount], check=False)


def _without_caches(home: Path) -> Mapping[str, str]:
    """An environment in which everything that this machine has kept is out of sight; system packages stay."""
    own = {
        "MODELRELEASE_CACHE": "programs",
        "MODELRELEASE_STATE": "state",
        "GOCACHE": "go-build",
        "GOMODCACHE": "go-modules",
        "UV_CACHE_DIR": "uv",
        "PIP_CACHE_DIR": "pip",
    }
    paths = {name: str(home / folder) for name, folder in own.items()}
    return {**os.environ, **paths, "GOFLAGS": "-modcacherw"}  # else nobody can remove the modules


def _seconds_to_first_release(clone: Path, environment: Mapping[str, str], *, name: str) -> float:
    """Seconds from the command to the first version that serves; the demo is interrupted then, and clears up."""
    began = time.monotonic()
    arguments = ["make", "demo", f"ARGS=--no-live --name {name}"]
    with subprocess.Popen(
        arguments,
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as demo:
        assert demo.stdout is not None
        seconds = None
        for line in demo.stdout:
            sys.stderr.write(line)
            if seconds is None and _FIRST_RELEASE in line:
                seconds = time.monotonic() - began
                os.killpg(demo.pid, signal.SIGTERM)  # also where SIGINT is ignored, as in the background
    if seconds is None:
        raise ClusterError(f"the demo ended with {demo.returncode} before its first release")
    return seconds


def _figure(key: str, seconds: float) -> Figure:
    cold = key == "bare"
    limit = _LIMIT_S[key]
    told = f"{int(seconds) // _MINUTE_S} min {seconds % _MINUTE_S:.0f} s" if cold else f"{seconds:.0f} s"
    caches = "no cache of Go, Python, programs or images" if cold else "all of that kept"
    return Figure(
        key=key,
        what="`make demo` to its first release, " + ("bare machine" if cold else "the second time"),
        value=told,
        target="under 20 min" if cold else "under 90 s",
        met=seconds < limit,
        how=f"a new clone, {caches}; Debian's packages were installed",
    )
