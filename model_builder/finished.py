"""A finished artifact on disk, verified before anything in it is used. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from model_builder import artifact as artifacts
from model_builder.contract import Contract, parse_contract
from model_builder.errors import ArtifactCorrupt, BadSpec, GateFailed

_MODEL = f"{artifacts.MODEL_VERSION}/model.onnx"


@dataclass(frozen=True)
class Finished:
    """An artifact whose every file is what its manifest says."""

    directory: Path
    digest: str
    manifest: dict[str, Any]
    contract: Contract
    model: Path


def read(directory: Path) -> Finished:
    """Read and verify an artifact.

    Raises:
        BadSpec: there is none.
        ArtifactCorrupt: a file is missing, one too many, or not what the manifest says; the sentence names it.
    """
    origin = str(directory)
    path = directory / artifacts.MANIFEST
    if not path.is_file():
        raise BadSpec(f"{directory} holds no {artifacts.MANIFEST}: give the directory of a finished artifact")
    text = path.read_text(encoding="utf-8", errors="replace")
    files = artifacts.parse_files(text, origin=origin)
    manifest = artifacts.unsealed(text, origin=origin)
    for entry in files:
        artifacts.verify_file(directory / entry.path, entry=entry, origin=origin)
    listed = {entry.path: entry.sha256 for entry in files}
    stranger = next((entry.path for entry in artifacts.scan(directory) if entry.path not in listed), None)
    if stranger is not None:
        raise ArtifactCorrupt(f"{stranger} of {origin} is in no manifest: delete that artifact and build it again")
    digest = artifacts.digest_of(files)
    if manifest.get("digest") != digest:
        raise ArtifactCorrupt(f"{origin} is {digest}, but its manifest gives another digest: build it again")
    model = PurePosixPath(artifacts.REPOSITORY, artifacts.model_folder(files, origin=origin), _MODEL).as_posix()
    for needed in (artifacts.CONTRACT, artifacts.GOLDEN, model):
        if needed not in listed:
            raise ArtifactCorrupt(f"{needed} of {origin} is missing: delete that artifact and build it again")
    contract = parse_contract((directory / artifacts.CONTRACT).read_text(encoding="utf-8", errors="replace"))
    if listed[artifacts.GOLDEN] != contract.golden_sha256:
        raise ArtifactCorrupt(f"{artifacts.GOLDEN} of {origin} is not the one its contract names: build it again")
    return Finished(directory=directory, digest=digest, manifest=manifest, contract=contract, model=directory / model)


def passed(artifact: Finished) -> None:
    """Refuse an artifact that a gate refused: it is for looking at. GateFailed."""
    failed = [str(gate.get("message")) for gate in artifact.manifest.get("gates", ()) if gate.get("blocks")]
    if failed:
        raise GateFailed(
            f"{artifact.directory} failed its gates: {'; '.join(failed)}; build it again with another recipe"
        )
