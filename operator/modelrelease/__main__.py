"""`python -m modelrelease`: the operator."""

import sys

from modelrelease.runtime.main import main
from modelrelease.runtime.wiring import production

if __name__ == "__main__":
    sys.exit(main(production))
