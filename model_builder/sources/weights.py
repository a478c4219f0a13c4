"""`file:///x.safetensors` and `s3://bucket/x.safetensors`: weights of a known architecture. Never a pickle."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from model_builder import architectures, s3
from model_builder.artifact import hash_file
from model_builder.errors import BadData
from model_builder.sources.base import SourceModel


def load_file(*, uri: str, architecture: str, seed: int, workspace: Path) -> SourceModel:
    """Weights from a mounted volume or a local disk."""
    del seed, workspace
    path = Path(unquote(urlsplit(uri).path))
    if not path.is_file():
        raise BadData(f"there is no file {path}: check spec.source.uri, and that the volume is mounted")
    return _load(path, uri=uri, architecture=architecture)


def load_s3(*, uri: str, architecture: str, seed: int, workspace: Path) -> SourceModel:
    """Weights from an object of an S3 bucket."""
    del seed
    parts = urlsplit(uri)
    path = workspace / "source.safetensors"
    s3.Bucket.open(parts.netloc).download(key=parts.path.lstrip("/"), to=path)
    return _load(path, uri=uri, architecture=architecture)


def _load(path: Path, *, uri: str, architecture: str) -> SourceModel:
    from safetensors import SafetensorError
    from safetensors.torch import load_file as read

    made = architectures.REGISTRY[architecture]()
    try:
        state = read(path)
    except (SafetensorError, OSError) as error:
        raise BadData(f"{uri} is not a readable safetensors file ({error}): upload it again") from error
    try:
        made.network.load_state_dict(state, strict=True)
    except RuntimeError as error:  # torch's only error for names or shapes that do not fit
        first = " ".join(str(error).split())[:300]
        raise BadData(f"{uri} holds no weights of architecture {architecture!r}: {first}") from error
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise BadData(f"{uri} holds weights that are NaN or infinite: the training that wrote them had diverged")
    return SourceModel(architecture=made, digest="sha256:" + hash_file(path))
