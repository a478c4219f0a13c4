"""``python -m localcluster.images.nocuda select LOCK`` and ``... complete LIBRARIES``, called by the image build."""

import argparse
import sys
from pathlib import Path

from localcluster.images.nocuda.select import select
from localcluster.images.nocuda.stand_in import complete


def main() -> None:
    """Run one of the two steps."""
    parser = argparse.ArgumentParser(prog="nocuda")
    steps = parser.add_subparsers(dest="step", required=True)
    choose = steps.add_parser("select", help="print a lock file without the CUDA packages")
    choose.add_argument("lock", type=Path)
    choose.add_argument("--without-torch", action="store_true", help="leave PyTorch itself out too")
    fill = steps.add_parser("complete", help="write stand-ins for the libraries that are missing")
    fill.add_argument("libraries", type=Path, help="the folder torch/lib")
    arguments = parser.parse_args()
    if arguments.step == "select":
        sys.stdout.write(select(arguments.lock.read_text(), torch=not arguments.without_torch))
    else:
        sys.stdout.write(f"stand-ins: {' '.join(complete(arguments.libraries))}\n")


main()
