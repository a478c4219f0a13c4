"""`report`: an HTML page about a finished artifact, for people and auditors."""

from __future__ import annotations

import argparse
from typing import Any

from model_builder.report import paper

HELP = "write an HTML report about a finished artifact"
configure = paper.configure


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Write."""
    from model_builder.report import page

    return paper.write(options, render=page.render)
