"""`pull`: from a store to a model repository."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

from model_builder import pull as puller
from model_builder.commands import PUBLIC_KEY_HELP
from model_builder.progress import reporter
from model_builder.triton import Backend

HELP = "fetch and verify an artifact, and lay out a Triton model repository"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--uri", required=True, help="the artifact, as the build reported it")
    parser.add_argument("--digest", required=True, help="what it must be: sha256:...")
    parser.add_argument("--model", required=True, help="name under which Triton serves it")
    parser.add_argument("--to", type=Path, required=True, help="the model repository")
    parser.add_argument("--backend", choices=get_args(Backend), default="onnxruntime")
    parser.add_argument("--serving", default="{}", help="serving configuration, JSON")
    parser.add_argument("--public-key", type=Path, help=PUBLIC_KEY_HELP + "; without one, no signature is asked for")
    parser.add_argument("--termination-log", type=Path, help="write the result there too, for Kubernetes")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Fetch, verify, lay out."""
    with reporter() as report:
        return puller.pull(
            uri=options.uri,
            digest=options.digest,
            model=options.model,
            to=options.to,
            backend=options.backend,
            serving=puller.parse_serving(options.serving),
            reporter=report,
            public_key=options.public_key,
        )
