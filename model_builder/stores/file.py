"""`file:///path`: a directory, in a cluster the mount of a PersistentVolumeClaim."""

from __future__ import annotations

import errno
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from model_builder import artifact as artifacts
from model_builder.errors import ArtifactCorrupt, BadSpec, StorageError
from model_builder.stores.base import supersedes


@dataclass(frozen=True)
class FileStore:
    """Artifacts are written under a temporary name and renamed: a reader never sees half of one."""

    root: Path

    @classmethod
    def parse(cls, uri: str) -> FileStore:
        """The store of a file URI."""
        parts = urlsplit(uri)
        if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
            raise BadSpec(f"the store is {uri!r}; a file URI has three slashes and an absolute path: file:///path")
        return cls(root=Path(unquote(parts.path)))

    def check(self) -> None:
        """Make the directory and a file in it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".incomplete-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise translate(error, root=self.root) from error

    def put(self, *, artifact: Path, digest: str) -> str:
        """Copy and rename. An artifact that is there but damaged is replaced."""
        final = self.root / artifacts.folder_name(digest)
        uri = "file://" + quote(str(final))
        temporary = self.root / f".incomplete-{uuid.uuid4().hex}"
        try:
            if _intact(final, digest=digest):
                if supersedes(artifact, stored=FileStore(final)):
                    temporary.mkdir()
                    for name in (artifacts.SIGNATURE, artifacts.MANIFEST):
                        shutil.copyfile(artifact / name, temporary / name)
                        (temporary / name).replace(final / name)
                return uri
            self.root.mkdir(parents=True, exist_ok=True)
            shutil.copytree(artifact, temporary, ignore=shutil.ignore_patterns(".work"), copy_function=shutil.copyfile)
            if final.exists():
                final.rename(temporary.with_name(temporary.name + "-damaged"))
            _rename(temporary, final)
        except OSError as error:
            raise translate(error, root=self.root) from error
        finally:
            for leftover in (temporary, temporary.with_name(temporary.name + "-damaged")):
                shutil.rmtree(leftover, ignore_errors=True)
        return uri

    def has(self, path: str) -> bool:
        """Look."""
        return (self.root / path).is_file()

    def fetch(self, *, path: str, to: Path) -> None:
        """Copy one file."""
        try:
            if not self.root.is_dir():
                raise StorageError(
                    f"there is no artifact at {self.root}: check the URI, and that the volume is mounted",
                    reason="ArtifactMissing",
                )
            shutil.copyfile(self.root / path, to)
        except FileNotFoundError as error:
            raise ArtifactCorrupt(
                f"{path} of {self.root} is missing: delete that artifact and build it again"
            ) from error
        except OSError as error:
            raise translate(error, root=self.root) from error


def _intact(folder: Path, *, digest: str) -> bool:
    if not (folder / artifacts.MANIFEST).is_file():
        return False
    return artifacts.digest_of(artifacts.scan(folder)) == digest


def _rename(temporary: Path, final: Path) -> None:
    try:
        temporary.rename(final)
    except OSError as error:
        # Two builds of the same artifact at once: the other one was first, and stored the same bytes.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def translate(error: OSError, *, root: Path) -> StorageError:
    """What is wrong with a volume, for a person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"the disk of {root} is full: free space or enlarge the volume", reason="DiskFull")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(
            f"{root} can't be written or read ({error.strerror}): check the volume's permissions (fsGroup) and mode",
            reason="StoreDenied",
        )
    return StorageError(f"{root} can't be used ({error}): check that the volume is mounted there")
