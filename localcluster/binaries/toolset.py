"""Decide for each program where it comes from, and remember the result in the cache.

The cache folder is named after everything that decides its content (Go modules, own mains, build tags), so a
result is used as long as it is right and never made twice. The Go compiler's own version is left out on
purpose: go.mod names the oldest one that will do, and a patch release of Go must not cost ten minutes.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import layout, pins
from localcluster.binaries import compiler, gateway_files, releases, search
from localcluster.progress import Progress

MODULE = Path(__file__).resolve().parent.parent / "toolchain"


@dataclass(frozen=True, kw_only=True)
class Toolset:
    """Where each program lies, and the rendered manifests of the gateway."""

    programs: dict[str, Path]
    gateway_manifests: Path

    def link_into(self, folder: Path) -> None:
        """Fill ``folder`` with one link per program."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, target in self.programs.items():
            (folder / name).symlink_to(target)


def key() -> str:
    """Return the name of the cache folder for the toolchain as it is pinned now."""
    digest = hashlib.sha256(" ".join(pins.BUILD_TAGS).encode())
    for path in sorted(MODULE.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(MODULE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def folder() -> Path:
    """Return the cache folder of the pinned toolchain; programs lie in ``bin``, manifests beside it."""
    return layout.cache_dir() / "toolchain" / key()


def ensure(*, bin_dir: Path | None, full: bool, progress: Progress) -> Toolset:
    """Return all programs that a cluster needs, getting what is missing."""
    wanted = [program for program in pins.PROGRAMS if full or not program.node_only]
    found = search.given(folder=bin_dir, wanted=wanted) if bin_dir else {}
    found |= search.on_path(wanted=[program for program in wanted if program.name not in found])
    missing = [program for program in wanted if program.name not in found]
    cache = folder()
    manifests = cache / "gateway.json"
    if (missing and not _all_in(cache=cache, programs=missing)) or not manifests.exists():
        with _locked(cache):
            _obtain(cache=cache, programs=missing, manifests=manifests, progress=progress)
    found |= {program.name: cache / "bin" / program.name for program in missing}
    return Toolset(programs=found, gateway_manifests=manifests)


def _all_in(*, cache: Path, programs: Iterable[pins.Program]) -> bool:
    return all((cache / "bin" / program.name).exists() for program in programs)


def _obtain(*, cache: Path, programs: list[pins.Program], manifests: Path, progress: Progress) -> None:
    """Download what can be downloaded and compile the rest; called with the cache locked."""
    target = cache / "bin"
    target.mkdir(parents=True, exist_ok=True)
    absent = [program for program in programs if not (target / program.name).exists()]
    server = releases.Server.from_environment()
    if absent:
        releases.download(programs=absent, target=target, server=server, progress=progress)
        absent = [program for program in absent if not (target / program.name).exists()]
    if absent:
        compiler.build(module=MODULE, programs=absent, target=target, progress=progress)
    if not manifests.exists():
        gateway_files.make(module=MODULE, renderer=target / "charttemplate", result=manifests, progress=progress)


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Let one process at a time fill the cache; the others wait and then find it full."""
    cache.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(cache / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
