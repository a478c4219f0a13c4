"""`evaluate`: measure an artifact again, on the data that it was built for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from model_builder.progress import reporter

HELP = "measure a finished artifact again"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("artifact", type=Path, help="directory of an artifact")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    from model_builder.again import evaluate

    with reporter() as report:
        return evaluate(options.artifact, reporter=report)
