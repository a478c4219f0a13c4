"""`bom`: the bill of materials of a finished artifact, as a CycloneDX ML-BOM."""

from __future__ import annotations

import argparse
from typing import Any

from model_builder.report import paper

HELP = "write a bill of materials (CycloneDX 1.6 ML-BOM) of a finished artifact"
configure = paper.configure


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Write."""
    from model_builder.report import bom

    return paper.write(options, render=bom.render)
