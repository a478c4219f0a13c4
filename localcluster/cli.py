"""The command line: ``python -m localcluster up|down|status|load|kubectl|shell``."""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from localcluster import api, host, layout, parts
from localcluster.errors import ClusterError
from localcluster.record import Wish

_NAME_HELP = "name of the cluster (default: %(default)s); several can run at once"


def main(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code."""
    chosen = _parser().parse_args(_kubectl_verbatim(arguments))
    command: Callable[[argparse.Namespace], int] = chosen.command
    try:
        host.require_linux()
        return command(chosen)
    except ClusterError as error:
        sys.stderr.write(f"localcluster: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("localcluster: interrupted; `python -m localcluster up` carries on, `down` removes it\n")
        return 130


def _kubectl_verbatim(arguments: Sequence[str]) -> list[str]:
    """Keep argparse from reading kubectl's own options: everything after ``kubectl`` is handed on as it is."""
    if "kubectl" not in arguments:
        return list(arguments)
    place = list(arguments).index("kubectl")
    return [*arguments[: place + 1], "--", *arguments[place + 1 :]]


def _parser() -> argparse.ArgumentParser:
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default=os.environ.get("MODELRELEASE_CLUSTER", layout.DEFAULT_NAME), help=_NAME_HELP)
    parser = argparse.ArgumentParser(prog="localcluster", description=__doc__, parents=[named])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    inherited = argparse.ArgumentParser(add_help=False)
    inherited.add_argument("--name", default=argparse.SUPPRESS, help="name of the cluster")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, parents=[inherited])
        sub.set_defaults(command=command)
        return sub

    up = add("up", _up, "bring a cluster up; does nothing when it is up, repairs it when it is half dead")
    up.add_argument("--size", choices=parts.SIZES, default=parts.FULL, help="default: %(default)s")
    up.add_argument("--gpus", type=_count, help="how many nvidia.com/gpu the node advertises (default: 8)")
    up.add_argument("--scrape-interval", type=_duration, help="how often Prometheus scrapes, e.g. 2s (default: 5s)")
    up.add_argument("--bin-dir", type=Path, help="folder with the cluster's programs, looked at first")
    down = add("down", _down, "take a cluster down; images and programs are kept for the next time")
    down.add_argument("--purge", action="store_true", help="remove its images too")
    status = add("status", _status, "show the parts of a cluster")
    status.add_argument("--json", action="store_true", help="for programs")
    load = add("load", _load, "give an image to the cluster's node")
    load.add_argument("image", help="an OCI archive, or the name of an image of this project")
    kubectl = add("kubectl", _kubectl, "run kubectl as the cluster's administrator")
    kubectl.add_argument("arguments", nargs="*")
    add("shell", _shell, "open a shell inside the cluster's namespaces")
    return parser


def _count(text: str) -> int:
    if not text.isdigit():
        msg = f"{text!r} is not a number of GPUs: give 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _duration(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*(ms|s|m)", text):
        msg = f"{text!r} is not a duration: give a whole number and ms, s or m, such as 2s"
        raise argparse.ArgumentTypeError(msg)
    return text


def _up(chosen: argparse.Namespace) -> int:
    wish = Wish(size=chosen.size, gpus=chosen.gpus, scrape_interval=chosen.scrape_interval)
    cluster = api.bring_up(name=chosen.name, wish=wish, bin_dir=chosen.bin_dir)
    for what, where in cluster.doors().items():
        sys.stderr.write(f"{what}: {where}\n")
    sys.stdout.write(f"export KUBECONFIG={cluster.kubeconfig}\n")
    return 0


def _down(chosen: argparse.Namespace) -> int:
    api.take_down(name=chosen.name, purge=chosen.purge)
    return 0


def _status(chosen: argparse.Namespace) -> int:
    status = api.status(name=chosen.name)
    if chosen.json:
        sys.stdout.write(json.dumps(status, indent=1) + "\n")
    else:
        sys.stdout.write(_table(status))
    return 0 if status["up"] else 3


def _table(status: api.Status) -> str:
    lines = [f"cluster {status['name']}: {'up' if status['up'] else 'down'} ({status['size'] or 'never started'})"]
    lines += [f"  {what:<24} {where}" for what, where in status["doors"].items()]
    for name, part in status["parts"].items():
        state = "ready" if part["ready"] else "running" if part["running"] else "down"
        lines.append(f"  {name:<24} {state}, started {part['starts']} times")
    return "\n".join(lines) + "\n"


def _load(chosen: argparse.Namespace) -> int:
    api.attach(name=chosen.name).load(chosen.image)
    return 0


def _kubectl(chosen: argparse.Namespace) -> int:
    cluster = api.attach(name=chosen.name)
    program = str(cluster.state_dir / "bin" / "kubectl")
    os.execve(program, ["kubectl", *chosen.arguments], {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)})  # noqa: S606


def _shell(chosen: argparse.Namespace) -> int:
    cluster = api.attach(name=chosen.name)
    shell = os.environ.get("SHELL", "/bin/sh")
    command = cluster.enter([shell])
    os.execvpe(command[0], command, {**os.environ, **cluster.environment()})  # noqa: S606
