"""`provenance`: how a finished artifact came to be, as an in-toto statement."""

from __future__ import annotations

import argparse
from typing import Any

from model_builder.report import paper

HELP = "write an unsigned provenance statement (in-toto, SLSA v1) of a finished artifact"
configure = paper.configure


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Write."""
    from model_builder.report import provenance

    return paper.write(options, render=provenance.render)
