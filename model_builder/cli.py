"""The command line. Each command ends with one JSON object on the last line and an exit code that tells what failed."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path

from model_builder import authorities, commands, ranks, result, together
from model_builder.commands import build
from model_builder.errors import BadSpec, BuildError
from model_builder.trouble import translated


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise BadSpec(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code. Of the processes of a build, the first one speaks for all."""
    termination_log: Path | None = None
    group = ranks.ALONE
    with contextlib.ExitStack() as ways_out:
        try:
            options = _parser().parse_args(arguments)
            termination_log = getattr(options, "termination_log", None)
            if options.command == "build":
                options.group = group = ranks.join()
                ways_out.callback(ranks.leave, group)
            ways_out.enter_context(authorities.joined())
            if not group.first:
                return build.assist(options)
            with translated(Path.cwd()):
                outcome, code = commands.load(options.command).run(options), 0
        except BuildError as error:
            outcome, code = result.failure(error), error.exit_code
        if outcome is not None and group.first:
            result.emit(outcome, termination_log=termination_log)
        together.dismiss(group, exit_code=code)
        return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="model_builder", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name in commands.MODULES:
        command = commands.load(name)
        command.configure(subparsers.add_parser(name, help=command.HELP))
    return parser
