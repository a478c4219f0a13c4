"""The command line. Each command ends with one JSON object on the last line and an exit code that tells what failed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from model_builder import choices, result
from model_builder import pull as puller
from model_builder.cache import VARIABLE, default_root
from model_builder.decode import describe
from model_builder.errors import BadSpec, BuildError
from model_builder.progress import reporter
from model_builder.triton import Backend

_SPEC_HELP = "the build spec: a file, JSON or YAML, or env:NAME for JSON in a variable of the environment"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise BadSpec(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    termination_log: Path | None = None
    try:
        options = _parser().parse_args(arguments)
        termination_log = getattr(options, "termination_log", None)
        command: Callable[[argparse.Namespace], dict[str, Any] | None] = options.command
        outcome = command(options)
    except BuildError as error:
        result.emit(result.failure(error), termination_log=termination_log)
        return error.exit_code
    if outcome is not None:
        result.emit(outcome, termination_log=termination_log)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="model_builder", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="build an artifact from a spec")
    build.add_argument("--spec", required=True, help=_SPEC_HELP)
    build.add_argument("--out", type=Path, required=True, help="directory of the artifact")
    build.add_argument("--store", help="put the artifact there as well: file:///path or s3://bucket/prefix")
    build.add_argument("--cache", type=Path, help=f"what earlier builds did (default: {VARIABLE}, or the user's cache)")
    build.add_argument("--replay", type=Path, help="manifest.json of a build whose measured choices are to be repeated")
    build.add_argument("--termination-log", type=Path, help="write the result there too, for Kubernetes")
    build.set_defaults(command=_build)

    pull = commands.add_parser("pull", help="fetch and verify an artifact, and lay out a Triton model repository")
    pull.add_argument("--uri", required=True, help="the artifact, as the build reported it")
    pull.add_argument("--digest", required=True, help="what it must be: sha256:...")
    pull.add_argument("--model", required=True, help="name under which Triton serves it")
    pull.add_argument("--to", type=Path, required=True, help="the model repository")
    pull.add_argument("--backend", choices=get_args(Backend), default="onnxruntime")
    pull.add_argument("--serving", default="{}", help="serving configuration, JSON")
    pull.add_argument("--termination-log", type=Path, help="write the result there too, for Kubernetes")
    pull.set_defaults(command=_pull)

    passes = commands.add_parser("passes", help="list the passes and their parameters")
    passes.add_argument("--json", action="store_true", help="as one JSON object")
    passes.set_defaults(command=_passes)

    lint = commands.add_parser("lint", help="check a spec without building it")
    lint.add_argument("--spec", required=True, help=_SPEC_HELP)
    lint.set_defaults(command=_lint)
    return parser


def _build(options: argparse.Namespace) -> dict[str, Any]:
    from model_builder.spec import load

    plan = load(options.spec)  # before torch is imported: a wrong spec fails at once
    replay = {} if options.replay is None else choices.of_manifest(options.replay)
    from model_builder.build import Settings, build

    settings = Settings(store=options.store, cache=options.cache or default_root(), replay=replay)
    with reporter() as report:
        return build(plan=plan, out=options.out, reporter=report, settings=settings)


def _pull(options: argparse.Namespace) -> dict[str, Any]:
    with reporter() as report:
        return puller.pull(
            uri=options.uri,
            digest=options.digest,
            model=options.model,
            to=options.to,
            backend=options.backend,
            serving=puller.parse_serving(options.serving),
            reporter=report,
        )


def _passes(options: argparse.Namespace) -> dict[str, Any] | None:
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


def _lint(options: argparse.Namespace) -> dict[str, Any]:
    from model_builder.spec import load

    plan = load(options.spec)
    return {"spec": options.spec, "passes": [step.pass_ for step in plan.spec.recipe], "valid": True}
