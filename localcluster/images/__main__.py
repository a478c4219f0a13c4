"""``python -m localcluster.images build [NAME...]`` and ``... list``."""

import argparse
import sys
from pathlib import Path

from localcluster.errors import ClusterError
from localcluster.images.build import NAMES, build_all, find, reference
from localcluster.progress import Progress


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m localcluster.images", description=__doc__)
    parser.add_argument(
        "--binaries", type=Path, help="folder of the compiled binaries (default: in the cache directory)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build images that are missing or out of date; print their archives")
    build.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)} (default: all)")
    commands.add_parser("list", help="print each image and its archive, or '-' where it has not been built")
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            done = build_all(arguments.names or NAMES, progress=Progress().say, binaries=arguments.binaries)
            found = {name: str(path) for name, path in done.items()}
        else:
            found = {name: str(find(name, binaries=arguments.binaries) or "-") for name in NAMES}
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{reference(name)} {path}\n" for name, path in found.items())
    return 0


sys.exit(main())
