"""`build`: from a spec to an artifact."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import choices, reference
from model_builder.cache import VARIABLE, default_root
from model_builder.commands import PRIVATE_KEY_HELP, SPEC_HELP, STORE_HELP
from model_builder.progress import reporter
from model_builder.together import follow

if TYPE_CHECKING:
    from model_builder.spec import Plan

HELP = "build an artifact from a spec"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--spec", required=True, help=SPEC_HELP)
    parser.add_argument("--out", type=Path, required=True, help="directory of the artifact")
    parser.add_argument("--store", help="put the artifact there as well: " + STORE_HELP)
    parser.add_argument("--cache", type=Path, help=f"what earlier builds did (default: {VARIABLE}, or your cache)")
    parser.add_argument("--replay", type=Path, help="manifest.json of a build whose measured choices are repeated")
    parser.add_argument(
        "--stable",
        help="the artifact that serves now, for gates against it: a directory, or URI@DIGEST of one in a store, which "
        f"is left out where it can't be had (default: {reference.VARIABLE})",
    )
    parser.add_argument(
        "--private-key", type=Path, help=PRIVATE_KEY_HELP + "; the artifact is signed before it is stored"
    )
    parser.add_argument("--termination-log", type=Path, help="write the result there too, for Kubernetes")


def assist(options: argparse.Namespace) -> int:
    """Help another process with its build, where torchrun started several; the exit code of that build."""
    return follow(options.group, read=lambda: _read(options))


def _read(options: argparse.Namespace) -> tuple[Plan, dict[str, str]]:
    from model_builder.spec import load

    plan = load(options.spec)
    return plan, {} if options.replay is None else choices.of_manifest(options.replay)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Build."""
    plan, replay = _read(options)  # before torch is imported: a wrong spec fails at once
    from model_builder.build import Settings, build

    cache = options.cache or default_root()
    stable = options.stable or os.environ.get(reference.VARIABLE)
    settings = Settings(
        store=options.store,
        cache=cache,
        replay=replay,
        stable=reference.parse_place(stable) if stable else None,
        private_key=options.private_key,
        group=options.group,
    )
    with reporter() as report:
        return build(plan=plan, out=options.out, reporter=report, settings=settings)
