"""``python -m localcluster.demo``."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("modelrelease") is None:
    # From a checkout that nobody installed: the operator's package lies beside this one.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "operator"))

from localcluster.demo.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
