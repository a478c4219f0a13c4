"""Fetches an artifact, verifies all of it, and lays out a Triton model repository. Standard library and boto3."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from model_builder import artifact as artifacts
from model_builder import signing
from model_builder.contract import parse_contract
from model_builder.decode import check, decode
from model_builder.errors import ArtifactCorrupt, BadSpec, StorageError
from model_builder.golden_parameter import pack
from model_builder.progress import Reporter
from model_builder.stores import open_store
from model_builder.triton import MODEL_NAME, Backend, Serving, render_config


def parse_serving(text: str) -> Serving:
    """The serving configuration as the operator hands it over."""
    try:
        raw = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadSpec(f"--serving is not valid JSON: {error}") from error
    return decode(Serving, raw, where="serving")


def pull(
    *,
    uri: str,
    digest: str,
    model: str,
    to: Path,
    backend: Backend,
    serving: Serving,
    reporter: Reporter,
    public_key: Path | None = None,
) -> dict[str, Any]:
    """Make `to/model` a model folder that Triton can load; it appears only when everything in it was verified.

    With a public key that means the signature as well: an artifact without one is refused.

    Raises:
        ArtifactCorrupt: what the store holds is not what the digest says.
        Untrusted: the signature is missing or does not fit, or there is no such key.
        StorageError: store or disk do not do their part.
    """
    started = time.monotonic()
    artifacts.parse_digest(digest)
    check(MODEL_NAME, model, where="--model")
    partial = to / f".incomplete-{uuid.uuid4().hex}"
    try:
        partial.mkdir(parents=True)
        files = fetch(uri=uri, digest=digest, to=partial, public_key=public_key, reporter=reporter)
        folder = _lay_out(partial, files=files, uri=uri, model=model, backend=backend, serving=serving)
        shutil.rmtree(to / model, ignore_errors=True)
        folder.rename(to / model)
    except OSError as error:
        raise StorageError(f"{to} can't be written ({error}): check the volume's size and permissions") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {
        "digest": digest,
        "uri": uri,
        "model": model,
        "bytes": sum(file.size for file in files),
        "signed": public_key is not None,
        "seconds": round(time.monotonic() - started, 2),
    }


def fetch(
    *, uri: str, digest: str, to: Path, public_key: Path | None, reporter: Reporter
) -> tuple[artifacts.FileEntry, ...]:
    """Fetch the files of an artifact into `to`, each verified, and its manifest; raises as `pull` does."""
    reporter.phase("pull")
    store = open_store(uri)
    manifest = to / artifacts.MANIFEST
    store.fetch(path=artifacts.MANIFEST, to=manifest)
    if public_key is not None:
        # Before gigabytes of a model that nobody signed.
        if not store.has(artifacts.SIGNATURE):
            raise signing.missing(uri)
        store.fetch(path=artifacts.SIGNATURE, to=to / artifacts.SIGNATURE)
    files = artifacts.parse_files(manifest.read_text(encoding="utf-8", errors="replace"), origin=uri)
    for index, entry in enumerate(files):
        target = to / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(path=entry.path, to=target)
        artifacts.verify_file(target, entry=entry, origin=uri)
        reporter.step(done=index + 1, total=len(files))
    found = artifacts.digest_of(files)
    if found != digest:
        raise ArtifactCorrupt(
            f"{uri} holds the artifact {found}, not {digest}: its manifest was replaced; "
            f"delete it, then {artifacts.CURE}"
        )
    if public_key is not None:
        reporter.phase("verify")
        signing.verify(to, public_key=public_key, origin=uri)
    golden = next((file.sha256 for file in files if file.path == artifacts.GOLDEN), None)
    if golden != parse_contract((to / artifacts.CONTRACT).read_text()).golden_sha256:
        raise ArtifactCorrupt(f"{artifacts.GOLDEN} of {uri} is not the one its contract names: build it again")
    return files


def _lay_out(
    partial: Path,
    *,
    files: tuple[artifacts.FileEntry, ...],
    uri: str,
    model: str,
    backend: Backend,
    serving: Serving,
) -> Path:
    folder = partial / artifacts.REPOSITORY / artifacts.model_folder(files, origin=uri)
    if backend == "pytorch" and not (folder / artifacts.MODEL_VERSION / "model.pt").is_file():
        raise BadSpec(
            "--backend is pytorch, and the artifact has no model.pt: build it with TorchScript in export.formats"
        )
    contract = parse_contract((partial / artifacts.CONTRACT).read_text())
    golden = pack((partial / artifacts.GOLDEN).read_text())
    config = render_config(contract=contract, model=model, backend=backend, serving=serving, golden=golden)
    (folder / "config.pbtxt").write_text(config)
    # Beside the model for whoever wants to try the server: Triton does not mind further files.
    shutil.copyfile(partial / artifacts.CONTRACT, folder / artifacts.CONTRACT)
    shutil.copyfile(partial / artifacts.GOLDEN, folder / artifacts.GOLDEN)
    return folder
