"""Small made-up artifacts and files, for tests that need no training."""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model_builder import artifact as artifacts
from model_builder.contract import Contract, Tensor


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
    (folder / artifacts.MANIFEST).write_text(artifacts.seal(manifest))
    return folder, digest


def make_whole(folder: Path, **told: Any) -> tuple[Path, str]:
    """Like `make_artifact`, but one that can be read, signed and pulled; `told` goes into its manifest."""
    make_artifact(folder)
    (folder / artifacts.GOLDEN).write_text('{"requests": [], "absoluteTolerance": 0.1}')
    tensor = Tensor(name="x", datatype="FP32", shape=(2,))
    golden = artifacts.hash_file(folder / artifacts.GOLDEN)
    contract = Contract(
        inputs=(tensor,), outputs=(tensor,), batchable=True, opset=20, ir_version=10, golden_sha256=golden
    )
    (folder / artifacts.CONTRACT).write_text(contract.dump())
    files = artifacts.scan(folder)
    digest = artifacts.digest_of(files)
    manifest = {"digest": digest, "files": [file.to_json() for file in files], **told}
    (folder / artifacts.MANIFEST).write_text(artifacts.seal(manifest))
    return folder, digest


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A private and a public key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, pkcs8, plain))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public
