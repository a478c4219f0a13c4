"""Small made-up artifacts and files, for tests that need no training."""

import json
from pathlib import Path

from model_builder import artifact as artifacts


def make_artifact(folder: Path) -> tuple[Path, str]:
    """A folder with the files of an artifact, and its digest; what is in them has no meaning."""
    version = folder / artifacts.REPOSITORY / "m" / artifacts.MODEL_VERSION
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(bytes(range(256)) * 20)
    (version.parent / "config.pbtxt").write_text('name: "m"')
    (folder / artifacts.CONTRACT).write_text("{}")
    (folder / artifacts.GOLDEN).write_text('{"requests": []}')
    files = artifacts.scan(folder)
    digest = artifacts.digest_of(files)
    manifest = {"digest": digest, "files": [file.to_json() for file in files]}
    (folder / artifacts.MANIFEST).write_text(json.dumps(manifest))
    return folder, digest
