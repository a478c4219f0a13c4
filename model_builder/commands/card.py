"""`card`: the model card of a finished artifact, in Markdown."""

from __future__ import annotations

import argparse
from typing import Any

from model_builder.report import paper

HELP = "write a model card (Markdown) of a finished artifact"
configure = paper.configure


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Write."""
    from model_builder.report import card

    return paper.write(options, render=card.render)
