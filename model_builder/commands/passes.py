"""`passes`: what a recipe can be made of."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from model_builder.decode import describe

HELP = "list the passes and their parameters"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Write the list: it may be longer than a result."""
    from model_builder.passes import REGISTRY

    entries: list[dict[str, Any]] = [
        {"name": p.name, "stage": p.stage.value, "summary": p.summary, "parameters": describe(p.parameters)}
        for p in REGISTRY.values()
    ]
    if options.json:
        sys.stdout.write(json.dumps({"passes": entries}) + "\n")
        return None
    for entry in entries:
        sys.stdout.write(f"{entry['name']} ({entry['stage']}): {entry['summary']}\n")
        for parameter in entry["parameters"]:
            limits = ", ".join(f"{key} {parameter[key]}" for key in parameter if key not in ("name", "description"))
            sys.stdout.write(f"  {parameter['name']}: {parameter['description']} ({limits})\n")
    return None
