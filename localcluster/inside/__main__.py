"""Process 1 of a cluster: ``python -m localcluster.inside STATE_DIRECTORY``."""

import sys
from pathlib import Path

from localcluster.inside.machine import prepare
from localcluster.inside.supervisor import Supervisor
from localcluster.layout import INSIDE
from localcluster.plan import Plan


def main(state: Path) -> None:
    """Prepare the namespaces, then start and watch the parts until this process is killed."""
    prepare(state=state)
    plan = Plan.read(INSIDE / "config" / "plan.json")
    Supervisor(plan=plan, logs=INSIDE / "logs", control=INSIDE / "control.sock").run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
