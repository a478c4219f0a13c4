"""`push`: put a finished artifact into a store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from model_builder.commands import STORE_HELP
from model_builder.progress import reporter

HELP = "put a finished artifact into a store, with its signature if it has one"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("artifact", type=Path, help="directory of an artifact")
    parser.add_argument("store", metavar="STORE-URI", help=STORE_HELP)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Verify the artifact, then put it there; an upload that was cut off is completed."""
    from model_builder import artifact, finished
    from model_builder.stores import open_store

    store = open_store(options.store)
    found = finished.read(options.artifact)
    finished.passed(found)
    store.check()
    with reporter() as report:
        report.phase("store")
        uri = store.put(artifact=options.artifact, digest=found.digest)
    return {"digest": found.digest, "uri": uri, "signed": (options.artifact / artifact.SIGNATURE).is_file()}
