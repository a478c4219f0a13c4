"""The command line: which measurements, how large, and where the figures go."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from benchmarks import bare, control_plane, full
from benchmarks.figures import Figure, keep, load, table, write_into
from benchmarks.settings import Settings
from localcluster import parts
from localcluster.errors import ClusterError

_DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"

Measurement = Callable[[Settings], Iterator[Figure]]
MEASUREMENTS: dict[str, Measurement] = {
    "up-control-plane": lambda settings: control_plane.up_times(settings, size=parts.CONTROL_PLANE),
    "up-full": lambda settings: control_plane.up_times(settings, size=parts.FULL),
    "releases": control_plane.many_releases,
    "writes": full.api_writes,
    "detection": full.detection,
    "losses": full.losses,
    "bare": bare.from_bare,
}


def main(arguments: Sequence[str]) -> int:
    """Measure; return 0 if every figure reaches its target."""
    chosen = vars(_parser().parse_args(arguments))
    record, wanted = chosen.pop("record"), chosen.pop("measurements")
    settings = Settings(**chosen)
    measured: list[Figure] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for name in wanted or MEASUREMENTS:
            for figure in MEASUREMENTS[name](settings):
                measured.append(figure)
                keep([figure], path=settings.out)
                sys.stdout.write(f"{figure.what}: {figure.value}; target {figure.target}; {figure.how}\n")
                sys.stdout.flush()
    except ClusterError as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        return 1
    finally:
        if settings.keep is False:
            full.clear(settings)
    sys.stdout.write(f"\n{table(measured)}\n")
    if record:
        write_into(_DOCUMENT, load(settings.out))
    return 1 if any(figure.met is False for figure in measured) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "measurements", nargs="*", choices=[[], *MEASUREMENTS], metavar="MEASUREMENT", help=", ".join(MEASUREMENTS)
    )
    plain = Settings()
    texts = {
        "name": "beginning of the clusters' names",
        "releases": "releases at once",
        "rate": "requests per second, HTTP and gRPC together",
        "promotions": "promotions under load",
        "rollbacks": "rollbacks under load",
        "changes": "weight changes under load, at least",
        "step_seconds": "length of a step where writes are counted",
        "rest_seconds": "how long the writes at rest are counted",
        "detections": "bad candidates to be found",
        "ups": "how often a cluster is brought up",
        "out": "file that keeps the figures of all runs",
    }
    for one in fields(Settings):
        if one.name in texts:
            default = getattr(plain, one.name)
            flag = f"--{one.name.replace('_', '-')}"
            parser.add_argument(flag, type=type(default), default=default, help=f"{texts[one.name]} (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the full cluster up for the next run")
    parser.add_argument("--record", action="store_true", help="write all figures into docs/benchmarks.md")
    return parser
