"""`compare`: two artifacts on the same rows, in one process."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from model_builder.progress import reporter

HELP = "measure one artifact against another"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("before", type=Path, help="directory of the artifact that is compared with")
    parser.add_argument("after", type=Path, help="directory of the artifact that is measured, on its own data")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    from model_builder.again import compare

    with reporter() as report:
        return compare(before=options.before, after=options.after, reporter=report)
