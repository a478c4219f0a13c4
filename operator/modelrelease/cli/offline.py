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
    traffic.add_argument("--from-prometheus", metavar="RANGE", help="what production recorded in the last RANGE, as 2h")
    simulate.add_argument("--prometheus-url", metavar="URL", help="where from, for --from-prometheus")
    simulate.add_argument("-n", "--namespace", help="the recorded release's, where the file does not say it")
    simulate.add_argument(
        "--seed", type=int, default=1, help="of all chance: the same seed, the same result (default 1)"
    )
    simulate.add_argument("--replications", type=int, default=1, metavar="N", help="how many runs (default 1)")
    simulate.add_argument("-o", "--output", choices=("text", "json"), default="text", help="for people or for programs")
    simulate.add_argument("--plot", metavar="FILE", help="draw the run into a .png or .svg file")
    simulate.set_defaults(run=_simulate)

    plan = commands.add_parser("plan", help="how long a release is likely to take, and what would change that")
    plan.add_argument("-f", "--file", required=True, metavar="FILE", help="the ModelRelease, a YAML file")
    plan.add_argument("--requests-per-second", type=float, metavar="N", help="what stable serves today")
    plan.add_argument("--error-ratio", type=float, default=0.0, metavar="P", help="stable's, 0.01 is 1 %% (default 0)")
    plan.add_argument("--prometheus-url", metavar="URL", help="read today's traffic from there instead")
    plan.add_argument("-n", "--namespace", help="the release's namespace, where the file does not say it")
    plan.add_argument("-o", "--output", choices=("text", "json"), default="text", help="for people or for programs")
    plan.set_defaults(run=_plan)


def _simulate(options: argparse.Namespace) -> int:
    from modelrelease.cli.simulate import run

    return run(options)


def _plan(options: argparse.Namespace) -> int:
    from modelrelease.cli.plan import run

    return run(options)
