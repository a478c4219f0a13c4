"""Every failure a person can cause or cure, with the reason a machine reads and the exit code a Job reports.

BuildError
  BadSpec            2  the spec, the serving configuration or the command line is wrong
  GateFailed         3  the model was built but is not good enough (a gate, an always-on check, a diverged training)
  BadData            4  data or source weights can't be used
  ArtifactCorrupt    4  what the store holds is not what its digest says
  StorageError       5  a store can't be reached, trusted or used, lacks the artifact, or a disk is full
  OutOfMemory        6  the process noticed it itself (137 is the kernel's)
  Untrusted          7  an artifact has no signature, or not one that the key at hand vouches for; or there is no key

`StorageError` and `Untrusted` carry one of several reasons, the others exactly their class name.
"""

from __future__ import annotations

from typing import ClassVar


class BuildError(Exception):
    """A failure with one sentence that names the fix."""

    exit_code: ClassVar[int] = 1

    @property
    def reason(self) -> str:
        """The CamelCase word that goes into status."""
        return type(self).__name__


class BadSpec(BuildError):  # noqa: N818 - named for what happened, as are all below
    """The input of the command is wrong."""

    exit_code = 2


class GateFailed(BuildError):  # noqa: N818
    """The model is not good enough."""

    exit_code = 3


class BadData(BuildError):  # noqa: N818
    """Data or source weights can't be used."""

    exit_code = 4


class ArtifactCorrupt(BuildError):  # noqa: N818
    """What was fetched is not what its digest says."""

    exit_code = 4


class StorageError(BuildError):
    """A store or a disk does not do its part."""

    exit_code = 5

    def __init__(self, message: str, *, reason: str = "StoreUnreachable") -> None:
        super().__init__(message)
        self._reason = reason

    @property
    def reason(self) -> str:
        """StoreUnreachable, StoreDenied, ArtifactMissing, DiskFull, CertificateUntrusted or CaBundleMissing."""
        return self._reason


class OutOfMemory(BuildError):  # noqa: N818
    """An allocation failed inside the process."""

    exit_code = 6


class Untrusted(BuildError):  # noqa: N818
    """Nobody who is trusted vouches for an artifact."""

    exit_code = 7

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self._reason = reason

    @property
    def reason(self) -> str:
        """SignatureMissing, SignatureMismatch or KeyMissing."""
        return self._reason
