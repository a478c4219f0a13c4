"""`lint`: whether a spec says what can be built, and what its test split can prove."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder.commands import SPEC_HELP
from model_builder.errors import BadData, StorageError

if TYPE_CHECKING:
    from model_builder.spec import Plan

HELP = "check a spec without building it"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--spec", required=True, help=SPEC_HELP)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Check."""
    from model_builder.spec import load

    plan = load(options.spec)
    passes = [step.pass_ for step in plan.spec.recipe]
    return {"spec": options.spec, "passes": passes, "valid": True, "data": _provable(plan)}


def _provable(plan: Plan) -> dict[str, Any]:
    """What the test split can prove. The spec may be right where its data can't be had, on a laptop for one."""
    from model_builder import data, gates

    try:
        with tempfile.TemporaryDirectory(prefix="model-builder-") as workspace:
            dataset = data.load(plan.spec.data, workspace=Path(workspace))
    except (BadData, StorageError, ImportError) as error:
        return {"notRead": str(error)}
    rows = len(dataset.test.rows)
    asked = gates.DEFAULTS[dataset.task] if plan.spec.gates is None else plan.spec.gates
    sentences = (gates.unprovable(gate, rows=rows) for gate in asked)
    return {
        "testRows": rows,
        "smallestProvableDrop": round(gates.smallest_provable_margin(rows=rows), 4),
        "unprovable": [sentence for sentence in sentences if sentence is not None],
    }
