"""Signs artifacts and verifies signatures: OpenSSF's model signing format, key mode, which needs no network.

Format and API: https://github.com/sigstore/model-transparency (model-signing 1.1). The signature is a Sigstore bundle
(DSSE, in-toto) over path and sha256 of every file of the artifact, the manifest included, and lies beside them as
`model.sig`; the format's own tool verifies it as well. Only signing and verifying import the library.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_builder import artifact as artifacts
from model_builder import finished
from model_builder.errors import BadSpec, StorageError, Untrusted

if TYPE_CHECKING:
    from model_signing import hashing, signing, verifying

#: A signature takes about 200 bytes per file.
_LARGEST = 16 << 20
_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)
_CURVES = "an elliptic-curve key (P-256, P-384 or P-521) in PEM"
_NEW_KEY = "make one with openssl ecparam -name prime256v1 -genkey -noout"


@dataclass(frozen=True)
class Claim:
    """What a signature says, whether or not it is true.

    Attributes:
        signer: sha256 of the signer's public key in PEM, empty where an old tool signed.
        files: path -> sha256 of each file that was signed.
    """

    signer: str
    files: Mapping[str, str]


def claim(signature: Path) -> Claim | None:
    """Read what a signature says, without a word on its truth; None if it is no signature of this format."""
    try:
        if signature.stat().st_size > _LARGEST:
            return None
        bundle = json.loads(signature.read_bytes())
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
        resources = statement["predicate"]["resources"]
        return Claim(
            signer=str(bundle["verificationMaterial"]["publicKey"].get("hint", "")),
            files={str(entry["name"]): str(entry["digest"]) for entry in resources},
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


@dataclass(frozen=True)
class Signer:
    """A private key that is known to be usable. It is in the memory of the library and nowhere else."""

    _config: signing.Config

    @classmethod
    def open(cls, private_key: Path) -> Signer:
        """Read the key.

        Raises:
            BadSpec: it is no key that can sign, or the library is not installed.
            Untrusted: there is no such file.
        """
        _present(private_key, option="--private-key")
        with _library():
            from model_signing import signing
        try:
            config = signing.Config()  # type: ignore[no-untyped-call]
            return cls(config.use_elliptic_key_signer(private_key=private_key))
        except Exception as error:  # each kind of a wrong file fails in its own way
            raise BadSpec(
                f"--private-key {private_key} can't sign: it must hold {_CURVES}, without a password; {_NEW_KEY}"
            ) from error

    def sign(self, directory: Path) -> Claim:
        """Sign a finished artifact; a signature that it has already is replaced.

        Raises:
            BadSpec: there is no artifact, or it holds a file that no artifact has.
            ArtifactCorrupt: a file of it is not what its manifest says.
            GateFailed: a gate refused it.
            StorageError: the signature can't be written.
        """
        finished.passed(finished.read(directory))
        partial, final = directory / f".{artifacts.SIGNATURE}.partial", directory / artifacts.SIGNATURE
        try:
            partial.unlink(missing_ok=True)
            _refuse_strangers(directory)
            # The path as it is: the format refuses links, and an artifact may lie below one.
            self._config.set_hashing_config(_hashing()).sign(directory.resolve(), partial)
            partial.rename(final)
        except OSError as error:
            raise StorageError(f"{final} can't be written ({error}): check its permissions and disk") from error
        written = claim(final)
        assert written is not None
        return written


def verify(directory: Path, *, public_key: Path, origin: str) -> Claim:
    """What a key's holder signed, once it is known that all files of an artifact are that, and no others are there.

    `public_key` is a file with one key or several: while signers change, both are trusted. `origin` names the artifact
    in sentences.

    Raises:
        BadSpec: a public key is none, or the library is not installed.
        Untrusted: no public key, no signature, one of another key, or a file that was changed, added or removed.
        StorageError: a file can't be read.
    """
    _present(public_key, option="--public-key")
    trusted = _verifiers(public_key)
    signature = directory / artifacts.SIGNATURE
    if not signature.is_file():
        raise missing(origin)
    claimed = claim(signature)
    if claimed is None:
        raise Untrusted(
            f"{artifacts.SIGNATURE} of {origin} is no signature in OpenSSF's format: sign the artifact again",
            reason="SignatureMismatch",
        )
    # A signature names its key, and only that one can say yes; those of an old tool name none.
    fitting = [config for key, config in trusted.items() if claimed.signer in ("", key)]
    try:
        if any(_vouches(config, directory, signature) for config in fitting):
            return claimed
    except OSError as error:
        raise StorageError(f"{origin} can't be read ({error}): check its permissions") from error
    raise Untrusted(_why(directory, claimed=claimed, trusted=tuple(trusted), origin=origin), reason="SignatureMismatch")


def missing(origin: str) -> Untrusted:
    """The refusal of an artifact that nobody signed."""
    return Untrusted(
        f"{origin} has no signature ({artifacts.SIGNATURE}), and a public key was given: sign the artifact and put it "
        "into the store again",
        reason="SignatureMissing",
    )


def _vouches(config: verifying.Config, directory: Path, signature: Path) -> bool:
    """Whether the library says yes. OSError: a file can't be read."""
    try:
        # The library prints a warning about old signatures, and standard output is for results.
        with contextlib.redirect_stdout(sys.stderr):
            config.set_hashing_config(_hashing()).verify(directory.resolve(), signature.resolve())
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - whatever keeps the library from saying yes is a no
        return False
    return True


def _why(directory: Path, *, claimed: Claim, trusted: tuple[str, ...], origin: str) -> str:
    """Why a signature was refused. The library decided; this finds the words for a person."""
    if claimed.signer and claimed.signer not in trusted:
        given = ", ".join(f"{key[:12]}..." for key in trusted)
        return (
            f"{origin} was signed with another key ({claimed.signer[:12]}...) than the trusted {given}: add the "
            "signer's public key to the trusted ones (several may stand in one file), or sign it with a trusted key"
        )
    cure = "take the artifact as it was signed, or sign it again if the change was yours"
    present = {path.relative_to(directory).as_posix(): path for path in _files(directory)}
    for path in sorted(claimed.files.keys() | present.keys()):
        if path not in present:
            return f"{path} of {origin} was removed after it was signed: {cure}"
        if path not in claimed.files:
            return f"{path} of {origin} was added after it was signed: {cure}"
        if present[path].is_symlink() or artifacts.hash_file(present[path]) != claimed.files[path]:
            return f"{path} of {origin} was changed after it was signed: {cure}"
    return f"{artifacts.SIGNATURE} of {origin} is damaged or forged: take the one that was made, or sign it again"


def _files(directory: Path) -> list[Path]:
    """What the signature covers."""
    own = directory / artifacts.SIGNATURE
    return [path for path in sorted(directory.rglob("*")) if path != own and (path.is_symlink() or not path.is_dir())]


def _refuse_strangers(directory: Path) -> None:
    known = {entry.path for entry in artifacts.scan(directory)} | {artifacts.MANIFEST}
    for path in _files(directory):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink() or name not in known:
            raise BadSpec(f"{directory} holds {name!r}, which no artifact has: remove it, then sign")


def _hashing() -> hashing.Config:
    """Every file but the signature; the library by itself leaves out those of git."""
    from model_signing import hashing

    config = hashing.Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=[artifacts.SIGNATURE], ignore_git_paths=False)


def _verifiers(public_keys: Path) -> dict[str, verifying.Config]:
    """What verifies with each key of a file, by the key's name in the format: sha256 of its PEM."""
    with _library():
        from cryptography.hazmat.primitives import serialization as keys
        from model_signing import verifying
    made: dict[str, verifying.Config] = {}
    try:
        # All that is between the keys is comment; a file without any key is given to the library to refuse.
        text = public_keys.read_bytes()
        for block in _PEM.findall(text) or [text]:
            key = keys.load_pem_public_key(block)
            pem = key.public_bytes(encoding=keys.Encoding.PEM, format=keys.PublicFormat.SubjectPublicKeyInfo)
            config = verifying.Config()  # type: ignore[no-untyped-call]
            with tempfile.NamedTemporaryFile() as alone:  # the library reads one key from one file
                alone.write(pem)
                alone.flush()
                made[hashlib.sha256(pem).hexdigest()] = config.use_elliptic_key_verifier(public_key=alone.name)
    except Exception as error:  # each kind of a wrong file fails in its own way
        raise BadSpec(
            f"--public-key {public_keys} can't verify: it must hold the public half of {_CURVES}, or of several"
        ) from error
    return made


def _present(key: Path, *, option: str) -> None:
    """In a cluster the file comes with a Secret or ConfigMap that somebody may still have to make: not final."""
    try:
        with key.open("rb"):
            return
    except OSError as error:
        raise Untrusted(
            f"{option} {key} can't be read ({error.strerror}): give a file in PEM; in a cluster the Secret or "
            "ConfigMap that the release names must exist and have it",
            reason="KeyMissing",
        ) from error


@contextlib.contextmanager
def _library() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise BadSpec("signatures need model-signing: install the extra 'sign'") from error
