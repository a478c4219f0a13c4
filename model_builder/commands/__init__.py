"""The commands of the command line. A new one is a new module here and its name in `MODULES`.

A module has HELP, `configure(parser)` for its arguments, and `run(options)`, which returns the JSON object of the last
line, or None if it has written its own answer. What a command needs beyond the standard library it imports in `run`:
the image that pulls has no more.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any, Protocol, cast

MODULES = (
    "build",
    "sign",
    "push",
    "pull",
    "verify",
    "lint",
    "passes",
    "evaluate",
    "compare",
    "report",
    "card",
    "bom",
    "provenance",
)
PRIVATE_KEY_HELP = "the key that signs: an elliptic-curve key in PEM without a password"
PUBLIC_KEY_HELP = "the key of whoever signs, in PEM"
STORE_HELP = "file:///path, s3://bucket/prefix, gs://..., az://..., or oci://host/repository"
SPEC_HELP = "the build spec: a file, JSON or YAML, or env:NAME for JSON in a variable of the environment"


class Command(Protocol):
    """What a module of this package offers."""

    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, options: argparse.Namespace) -> dict[str, Any] | None:
        """Do it."""


def load(name: str) -> Command:
    """The command of a name."""
    return cast(Command, importlib.import_module(f"{__name__}.{name}"))
