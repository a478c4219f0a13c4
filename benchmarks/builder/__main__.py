"""Measures the model builder's promises and writes docs/builder.md."""

import argparse
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Measure what is asked for and not measured yet; return 0 if nothing that was measured breaks a promise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.builder", description=__doc__)
    parser.add_argument(
        "--rows", nargs="+", metavar="NAME", help="only these rows, measured again (all that is missing)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds from 0 on (%(default)s)")
    parser.add_argument("--out", type=Path, default=_ROOT / "out" / "builder.json", help="file of the results")
    parser.add_argument("--record", action="store_true", help="write docs/builder.md and its picture afterwards")
    parser.add_argument("--only-page", action="store_true", help="measure nothing, write the page from the results")
    chosen = parser.parse_args()
    # Only now: whoever asks for help does not wait for torch.
    from benchmarks.builder import page, run
    from benchmarks.builder.rows import ROWS

    unknown = sorted(set(chosen.rows or ()) - {row.name for row in ROWS})
    if unknown:
        parser.error(f"no row is called {unknown[0]!r}; known: {', '.join(row.name for row in ROWS)}")
    if not chosen.only_page:
        run.measure(rows=chosen.rows, seeds=chosen.seeds, path=chosen.out, tell=_told)
    results = run.load(chosen.out)
    if chosen.record or chosen.only_page:
        page.write(results, docs=_ROOT / "docs")
    sys.stdout.write("\n" + page.tables(results) + "\n")
    return 1 if page.broken(results) else 0


def _told(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
