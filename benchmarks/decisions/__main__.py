"""Plays the decision rules against each other and writes docs/decisions.md."""

import argparse
import os
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Play what is asked for; return 0 if every target is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CELL", help="cells whose name holds this text (all)")
    parser.add_argument("--share", type=float, default=1.0, help="how much of the full number of runs (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--out", type=Path, default=_ROOT / "out" / "decisions.json", help="file of the results")
    parser.add_argument("--record", action="store_true", help="write docs/decisions.md and its pictures")
    parser.add_argument("--only-page", action="store_true", help="play nothing, write the page from the results")
    chosen = parser.parse_args()
    # Only now: whoever asks for help does not wait for numpy and scipy.
    from benchmarks.decisions import cost, page, play, targets
    from benchmarks.decisions.cells import cells

    wanted = [cell for cell in cells() if not chosen.names or any(text in cell.name for text in chosen.names)]
    if not chosen.only_page:
        for cell, found in play.play(wanted, share=chosen.share, workers=chosen.workers, told=_told):
            play.keep(chosen.out, cell, found)
            sys.stdout.write(page.line(cell.name, found) + "\n")
            sys.stdout.flush()
    results, measured = play.load(chosen.out), cost.measure()
    if chosen.record or chosen.only_page:
        page.write(results, cost=measured, docs=_ROOT / "docs")
    checks = [*targets.targets(results), *measured.checks()]
    sys.stdout.write("\n" + page.table_of_targets(checks) + "\n")
    return 1 if any(check.met is False for check in checks) else 0


def _told(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:<100}")


if __name__ == "__main__":
    sys.exit(main())
