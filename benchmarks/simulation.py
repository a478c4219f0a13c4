"""How much faster than life a release is simulated: `python -m benchmarks.simulation`.

Prints seconds of the release for each second of CPU time, on given increments and through counters and adapter.
"""

from __future__ import annotations

import argparse
import time

from modelrelease.cli.spec_file import read_release
from modelrelease.simulate.scenario import Lognormal, Scenario
from modelrelease.simulate.simulation import Simulation
from modelrelease.simulate.tape import of_traffic
from modelrelease.simulate.traffic import increments


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--spec", default="docs/simulate/release.yaml", help="the release")
    parser.add_argument("--runs", type=int, default=8, help="how many of each kind")
    options = parser.parse_args()
    spec = read_release(options.spec).spec
    scenario = Scenario(latency=Lognormal())
    tape = of_traffic(increments(scenario, seed=1), 0)
    kinds = {
        "increments": Simulation(spec=spec, tape=tape, seed=1),
        "counters": Simulation(spec=spec, scenario=scenario, seed=1),
    }
    for name, simulation in kinds.items():
        simulation.run()  # what is loaded and compiled once is not the simulation
        begun = time.process_time()
        lived = sum(simulation.run(index).ended_at for index in range(options.runs))
        took = time.process_time() - begun
        print(f"{name}: {lived:.0f} s of releases in {took:.1f} s of CPU time: {lived / took:.0f} times real time")  # noqa: T201


if __name__ == "__main__":
    main()
