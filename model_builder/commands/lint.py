"""`lint`: whether a spec says what can be built."""

from __future__ import annotations

import argparse
from typing import Any

from model_builder.commands import SPEC_HELP

HELP = "check a spec without building it"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--spec", required=True, help=SPEC_HELP)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Check."""
    from model_builder.spec import load

    plan = load(options.spec)
    return {"spec": options.spec, "passes": [step.pass_ for step in plan.spec.recipe], "valid": True}
