"""The command line: reads arguments, calls the cluster, prints. Imports what a command needs when it needs it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelrelease import __version__
from modelrelease.cli import offline
from modelrelease.cli.errors import NO, OK, CommandError

if TYPE_CHECKING:
    from modelrelease.cli.cluster import Cluster
    from modelrelease.domain.commands import Verb

_ORDERS = {
    "approve": "let the release go on from a step that waits for approval",
    "promote": "waive the steps that remain, or end the bake",
    "abort": "send the traffic back to the stable version now",
    "retry": "try a version that failed once more",
}
_SWITCHES = {"pause": "stop progress where it is; a rollback still happens", "resume": "go on after a pause"}
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 the answer is no, 2 there is no answer."""
    options = _parser(Path(sys.argv[0]).name).parse_args(arguments)
    try:
        return int(options.run(options))
    except CommandError as error:
        print(f"modelrelease: {error}", file=sys.stderr)  # noqa: T201
        return error.code
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser(program: str) -> argparse.ArgumentParser:
    name = "kubectl modelrelease" if program.startswith("kubectl-") else "modelrelease"
    parser = argparse.ArgumentParser(prog=name, description="Look at and steer releases of models.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    cluster = argparse.ArgumentParser(add_help=False)
    cluster.add_argument(
        "-n", "--namespace", help="the release's namespace (default: that of the kubeconfig's context)"
    )
    cluster.add_argument("--context", help="the kubeconfig's context (default: the current one)")

    status = commands.add_parser("status", parents=[cluster], help="what a release does, why, and what it waits for")
    status.add_argument("name", metavar="NAME")
    status.add_argument("--json", action="store_true", help="print the status as JSON, with what is due next")
    status.set_defaults(run=_status)
    watch = commands.add_parser("watch", parents=[cluster], help="the same, live, until the release has ended")
    watch.add_argument("name", metavar="NAME")
    watch.set_defaults(run=_watch)
    for verb, about in {**_ORDERS, **_SWITCHES}.items():
        command = commands.add_parser(verb, parents=[cluster], help=about)
        command.add_argument("name", metavar="NAME")
        command.set_defaults(run=_order if verb in _ORDERS else _switch, verb=verb)
    lint = commands.add_parser("lint", parents=[cluster], help="check ModelReleases in files before they are applied")
    lint.add_argument("-f", "--file", action="append", required=True, metavar="FILE", help="a YAML file; - is stdin")
    lint.add_argument("--offline", action="store_true", help="do not ask the API server")
    lint.set_defaults(run=_lint)
    offline.declare(commands)
    return parser


def _cluster(options: argparse.Namespace) -> Cluster:
    from modelrelease.cli.cluster import Cluster

    return Cluster(context=options.context, namespace=options.namespace)


def _status(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from modelrelease.cli.release import parse

    body = _cluster(options).get(options.name)
    release, now = parse(body), datetime.now(UTC)
    if options.json:
        from modelrelease.cli.clocks import upcoming
        from modelrelease.domain.codec import encode

        due = [encode(item) for item in upcoming(release, now)]
        answer = {"name": release.name, "namespace": release.namespace, "generation": release.generation}
        answer |= {"version": release.spec.model.version, "status": body.get("status", {}), "next": due}
        print(json.dumps(answer, indent=2))  # noqa: T201
        return OK
    from rich.console import Console

    from modelrelease.cli.view import picture

    Console().print(picture(release, now))
    return OK


def _watch(options: argparse.Namespace) -> int:
    from modelrelease.cli.watch import watch

    return watch(_cluster(options), options.name)


def _order(options: argparse.Namespace) -> int:
    import uuid

    from modelrelease.cli.release import parse
    from modelrelease.cli.verbs import order
    from modelrelease.domain.commands import Verb

    cluster = _cluster(options)
    verb: Verb = Verb(options.verb)
    wanted = order(verb, parse(cluster.get(options.name)), token=uuid.uuid4().hex[:12])
    cluster.patch(options.name, wanted.patch)
    print(wanted.done)  # noqa: T201
    if wanted.latch is not None and not _taken_up(cluster, options.name, wanted.latch):
        print("the operator has not taken it up yet: is it running?", file=sys.stderr)  # noqa: T201
    return OK


def _taken_up(cluster: Cluster, name: str, latch: str) -> bool:
    """Wait a little for the operator to latch the command."""
    import time

    for pause in (0.2, 0.3, 0.5, 1, 1, 2):
        if latch in cluster.get(name).get("status", {}).get("handled", ()):
            return True
        time.sleep(pause)
    return False


def _switch(options: argparse.Namespace) -> int:
    from modelrelease.cli.release import parse
    from modelrelease.cli.verbs import suspend

    cluster = _cluster(options)
    wanted = suspend(parse(cluster.get(options.name)), wanted=options.verb == "pause")
    cluster.patch(options.name, wanted.patch)
    print(wanted.done)  # noqa: T201
    return OK


def _lint(options: argparse.Namespace) -> int:
    from modelrelease.cli.lint import lint

    findings = 0
    cluster = None if options.offline else _reachable(options)
    for file in options.file:
        text = sys.stdin.read() if file == "-" else _read(file)
        for finding in lint(text, judge=cluster.try_apply if cluster else None):
            findings += 1
            print(f"{file}: {finding}")  # noqa: T201
    print(f"{findings} finding{'s' if findings != 1 else ''}" if findings else "no findings")  # noqa: T201
    return NO if findings else OK


def _reachable(options: argparse.Namespace) -> Cluster | None:
    """Return the cluster, or None with a word about it: lint works without one."""
    try:
        return _cluster(options)
    except CommandError as error:
        print(f"not checked against an API server: {error}", file=sys.stderr)  # noqa: T201
        return None


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} can not be read: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
