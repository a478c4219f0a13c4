"""`sign`: vouch for a finished artifact."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from model_builder.commands import PRIVATE_KEY_HELP

HELP = "sign a finished artifact (OpenSSF model signing)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("artifact", type=Path, help="directory of an artifact")
    parser.add_argument("--private-key", type=Path, required=True, help=PRIVATE_KEY_HELP)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Sign."""
    from model_builder.artifact import SIGNATURE
    from model_builder.signing import Signer

    claim = Signer.open(options.private_key).sign(options.artifact)
    return {"file": str(options.artifact / SIGNATURE), "signer": claim.signer, "files": len(claim.files)}
