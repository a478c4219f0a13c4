"""Keeps what was built, one archive per content, and builds each only once even if several processes ask."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KEY_LENGTH = 16
"""Hexadecimal digits of a key."""
_KEPT = 2
"""Archives of one image that stay: the present one, and one for another checkout of the project."""


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A folder of archives named after image and content."""

    folder: Path

    def path(self, *, name: str, key: str) -> Path:
        """Return where the archive of this image with this content lies, or would."""
        return self.folder / f"{name}-{key}.tar"

    def get(self, *, name: str, key: str, make: Callable[[Path], None]) -> Path:
        """Return the archive; if it is not there yet, `make` it."""
        archive = self.path(name=name, key=key)
        if archive.exists():
            return archive
        with self._locked(name):
            if not archive.exists():
                unfinished = self.folder / f"{name}.unfinished.tar"
                unfinished.unlink(missing_ok=True)
                make(unfinished)
                unfinished.rename(archive)
                for old in self.present(name)[_KEPT:]:
                    old.unlink()
        return archive

    def present(self, name: str) -> list[Path]:
        """Return the archives of this image, whatever their content, the newest first."""
        # The key's length tells `envoy` from `envoy-gateway`.
        same = self.folder.glob(f"{name}-{'[0-9a-f]' * KEY_LENGTH}.tar")
        return sorted(same, key=lambda path: path.stat().st_mtime, reverse=True)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
