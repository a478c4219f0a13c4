"""`file:///path`: a directory, in a cluster the mount of a PersistentVolumeClaim."""

from __future__ import annotations

import contextlib
import errno
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from model_builder import artifact as artifacts
from model_builder.errors import ArtifactCorrupt, BadSpec, StorageError
from model_builder.stores.base import name_in_store, settle


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
        """Copy and rename. An artifact that is there but damaged is replaced, and a copy that was cut off completed."""
        final = self.root / name_in_store(artifact, digest=digest, at=self._named)
        uri = "file://" + quote(str(final))
        own, kept = self.root / f".incomplete-{uuid.uuid4().hex}", self.root / f".incomplete-{final.name}"
        try:
            own.mkdir(parents=True)
            there, files = final.exists(), artifacts.scan(artifact)
            if not _intact(final, files=files):
                whole = _collect(artifact, files=files, kept=kept, own=own)
                _tell(artifact, to=whole, own=own)
                if there:
                    whole = _taken_away(final, own=own, files=files) or whole
                _put(whole, final)
            settle(artifact, stored=FileStore(final), tell=lambda: _tell(artifact, to=final, own=own))
        except OSError as error:
            # Whoever has to free space does not look for this.
            shutil.rmtree(kept, ignore_errors=True)
            raise translate(error, root=self.root) from error
        finally:
            shutil.rmtree(own, ignore_errors=True)
        return uri

    def _named(self, name: str) -> FileStore:
        return FileStore(self.root / name)

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
            raise ArtifactCorrupt(f"{path} of {self.root} is missing: {artifacts.CURE}") from error
        except OSError as error:
            raise translate(error, root=self.root) from error


def _intact(folder: Path, *, files: tuple[artifacts.FileEntry, ...]) -> bool:
    """Whether a folder holds just these files and a manifest that is whole and names them: all of it is read."""
    manifest = folder / artifacts.MANIFEST
    if not manifest.is_file() or set(artifacts.scan(folder)) != set(files):
        return False
    return artifacts.lists(manifest.read_text(encoding="utf-8", errors="replace"), files=files)


def _collect(artifact: Path, *, files: tuple[artifacts.FileEntry, ...], kept: Path, own: Path) -> Path:
    """All that the digest covers, in a folder of this push alone.

    Every file is first kept whole, under its hash, where the next push of this artifact finds it should this one be cut
    off. Of pushes at the same time one may take what another kept: that one copies once more.
    """
    whole, part = own / "whole", own / "part"
    with contextlib.suppress(FileExistsError):
        kept.mkdir()
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            if not (kept / file.sha256).is_file() or artifacts.hash_file(kept / file.sha256) != file.sha256:
                shutil.copyfile(artifact / file.path, part)
                part.replace(kept / file.sha256)
    for file in files:
        target = whole / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            (kept / file.sha256).rename(target)
        except FileNotFoundError:
            shutil.copyfile(artifact / file.path, target)
    with contextlib.suppress(OSError):  # another push still keeps files there
        kept.rmdir()
    return whole


def _taken_away(final: Path, *, own: Path, files: tuple[artifacts.FileEntry, ...]) -> Path | None:
    """Take a damaged artifact away; what another push has put into its place by now is given back."""
    away = own / "away"
    with contextlib.suppress(FileNotFoundError):
        final.rename(away)
    return away if _intact(away, files=files) else None


def _tell(artifact: Path, *, to: Path, own: Path) -> None:
    """Put signature and manifest there, each by a rename; the manifest last, which makes an artifact of it."""
    for name in (artifacts.SIGNATURE, artifacts.MANIFEST):
        if (artifact / name).is_file():
            shutil.copyfile(artifact / name, own / name)
            (own / name).replace(to / name)


def _put(whole: Path, final: Path) -> None:
    try:
        whole.rename(final)
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
