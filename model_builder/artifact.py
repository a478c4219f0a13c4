"""The artifact: which files it has, what its digest covers, and how it is checked. Standard library only.

    repository/<model>/config.pbtxt     a complete Triton configuration with default serving settings
    repository/<model>/vocabulary.json  of a model for texts: the tokens in the order of their numbers
    repository/<model>/1/model.onnx     the model
    repository/<model>/1/model.py       runs the same model through Triton's python backend, where there is no other
    golden.json                         raw requests with the answers that the model gave when it was built
    contract.json                       the interface, and the sha256 of golden.json
    manifest.json                       everything measured and known about the build; written last
    model.sig                           signs all of these, where somebody did (model_builder/signing.py)

The digest covers repository/ and contract.json (and golden.json through it): what is served and what was promised.
Times, metrics and versions are in the manifest only, so that the same build gives the same digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from model_builder.contract import canonical_json
from model_builder.errors import ArtifactCorrupt, BadSpec

MANIFEST, CONTRACT, GOLDEN, REPOSITORY = "manifest.json", "contract.json", "golden.json", "repository"
SIGNATURE, VOCABULARY = "model.sig", "vocabulary.json"
#: What puts right a file that a store has lost or spoilt: a push of the same artifact reads what is there.
CURE = (
    "build it again (`modelrelease retry` of a release that failed for it does), push the same artifact, or restore it"
)
MODEL_VERSION = "1"
_SEAL = "sealSha256"
#: Part of the digest: two ways of hashing never give one name.
_DIGEST_SCHEME = "modelrelease-artifact-v1"


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact."""

    path: str
    sha256: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """As it appears in the manifest."""
        return {"path": self.path, "sha256": self.sha256, "bytes": self.size}


def hash_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def scan(directory: Path) -> tuple[FileEntry, ...]:
    """The files of a finished artifact directory, the manifest itself left out."""
    roots = [directory / CONTRACT, directory / GOLDEN, *sorted((directory / REPOSITORY).rglob("*"))]
    return tuple(
        FileEntry(path=path.relative_to(directory).as_posix(), sha256=hash_file(path), size=path.stat().st_size)
        for path in roots
        if path.is_file()
    )


def digest_of(files: Iterable[FileEntry]) -> str:
    """The name of the artifact: a hash over path and sha256 of everything that is served or promised."""
    covered = sorted((f.path, f.sha256) for f in files if f.path == CONTRACT or f.path.startswith(REPOSITORY + "/"))
    text = json.dumps([_DIGEST_SCHEME, *covered], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def parse_digest(text: str) -> str:
    """A digest that a person or the operator gave, checked for form."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise BadSpec(f"the digest is {text!r}; it must be 'sha256:' and 64 lower-case hexadecimal digits")
    return text


def folder_name(digest: str) -> str:
    """The name of an artifact's folder in a store (a colon is not welcome in paths)."""
    return digest.replace(":", "-", 1)


def parse_files(manifest_text: str, *, origin: str) -> tuple[FileEntry, ...]:
    """The list of files in a manifest. Every path is inside the artifact, whoever wrote the manifest."""
    try:
        raw = json.loads(manifest_text)["files"]
        files = tuple(FileEntry(path=str(f["path"]), sha256=str(f["sha256"]), size=int(f["bytes"])) for f in raw)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactCorrupt(f"manifest.json of {origin} is not readable ({error!r}): build it again") from error
    for file in files:
        path = PurePosixPath(file.path)
        first = path.parts[0] if path.parts else ""
        unusual = path.is_absolute() or ".." in path.parts or path.as_posix() != file.path or "\0" in file.path
        if unusual or (file.path not in (CONTRACT, GOLDEN) and first != REPOSITORY):
            raise ArtifactCorrupt(f"manifest.json of {origin} names the file {file.path!r}, which no artifact has")
    if len({file.path for file in files}) != len(files):
        raise ArtifactCorrupt(f"manifest.json of {origin} names a file twice")
    return files


def seal(manifest: Mapping[str, Any]) -> str:
    """The text of manifest.json: canonical, and with a hash of its own, since the digest does not cover it."""
    plain = canonical_json(manifest)
    return canonical_json({**manifest, _SEAL: hashlib.sha256(plain.encode()).hexdigest()})


def unsealed(text: str, *, origin: str) -> dict[str, Any]:
    """The manifest of a text that `seal` wrote. ArtifactCorrupt if a single byte is another one."""
    try:
        manifest = dict(json.loads(text))
        manifest.pop(_SEAL, None)
        whole = seal(manifest) == text
    except (ValueError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise ArtifactCorrupt(f"{MANIFEST} of {origin} was changed or damaged: {CURE}")
    return manifest


def lists(manifest_text: str, *, files: tuple[FileEntry, ...]) -> bool:
    """Whether a stored manifest is whole, byte by byte, and names just these files."""
    try:
        unsealed(manifest_text, origin="")
        return set(parse_files(manifest_text, origin="")) == set(files)
    except ArtifactCorrupt:
        return False


def verify_file(path: Path, *, entry: FileEntry, origin: str) -> None:
    """Fail if a fetched file is not the one the manifest means."""
    if not path.is_file():
        raise ArtifactCorrupt(f"{entry.path} of {origin} is missing: {CURE}")
    found = hash_file(path)
    if found != entry.sha256:
        raise ArtifactCorrupt(
            f"{entry.path} of {origin} has sha256 {found[:12]}..., but its manifest says {entry.sha256[:12]}...: "
            f"it was changed or damaged; delete it, then {CURE}"
        )


def model_folder(files: Iterable[FileEntry], *, origin: str) -> str:
    """The one model folder under repository/."""
    names = {PurePosixPath(f.path).parts[1] for f in files if len(PurePosixPath(f.path).parts) > 2}
    if len(names) != 1:
        raise ArtifactCorrupt(f"{origin} must hold exactly one model, but holds {sorted(names)}")
    return names.pop()
