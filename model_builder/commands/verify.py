"""`verify`: whether an artifact is what the holder of a key signed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from model_builder.commands import PUBLIC_KEY_HELP

HELP = "verify the signature of an artifact"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("artifact", type=Path, help="directory of an artifact")
    parser.add_argument("--public-key", type=Path, required=True, help=PUBLIC_KEY_HELP)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Verify; the digest is that of the files, which are known to be the signed ones then."""
    from model_builder import artifact, signing

    claim = signing.verify(options.artifact, public_key=options.public_key, origin=str(options.artifact))
    return {
        "digest": artifact.digest_of(artifact.scan(options.artifact)),
        "signer": claim.signer,
        "files": len(claim.files),
    }
