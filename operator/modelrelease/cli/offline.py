"""The options of the commands that need no cluster but a spec and its traffic."""

from __future__ import annotations

import argparse
from typing import Any


def declare(commands: Any) -> None:  # argparse does not name the type of its subparsers
    """Add the commands."""
    simulate = commands.add_parser("simulate", help="play a release on given or synthetic traffic, without a cluster")
    simulate.add_argument("--spec", required=True, metavar="FILE", help="the ModelRelease, a YAML file")
    traffic = simulate.add_mutually_exclusive_group(required=True)
    traffic.add_argument("--traffic", metavar="FILE", help="a CSV file of what each version counted per scrape")
    traffic.add_argument("--scenario", metavar="FILE", help="a YAML file that describes synthetic traffic")
    simulate.add_argument(
        "--seed", type=int, default=1, help="of all chance: the same seed, the same result (default 1)"
    )
    simulate.add_argument("--replications", type=int, default=1, metavar="N", help="how many runs (default 1)")
    simulate.add_argument("-o", "--output", choices=("text", "json"), default="text", help="for people or for programs")
    simulate.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> int:
    from modelrelease.cli.simulate import run

    return run(options)
