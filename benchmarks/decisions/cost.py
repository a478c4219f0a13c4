"""What one decision costs: processor time of a look at one new block with all metrics, and the size of the state."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from modelrelease.domain import analysis
from modelrelease.domain.analysis import Exposure
from modelrelease.domain.counts import Arm, Block, CustomCount, Evidence, History
from modelrelease.domain.observed import Slot
from modelrelease.domain.policy import Analysis, CustomMetric, ErrorRate

from benchmarks.decisions.targets import Check

_LOOKS = 300
_MS, _KIB = 2.0, 4.0
_SHARES = ((10.0, 0.1), (50.0, 0.5), (100.0, 0.92), (250.0, 0.995), (float("inf"), 1.0))
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cost:
    """Milliseconds of processor time per look (median), and bytes of the state at its largest."""

    milliseconds: float
    state: int

    def checks(self) -> list[Check]:
        """Return the promises about it."""
        cpu, size = f"{self.milliseconds:.2f} ms", f"{self.state / 1024:.1f} KiB"
        return [
            Check(
                "processor time of one decision, every kind of metric", f"< {_MS:g} ms", cpu, self.milliseconds < _MS
            ),
            Check("state of the analysis in the status, the same", f"< {_KIB:g} KiB", size, self.state < 1024 * _KIB),
        ]


def measure() -> Cost:
    """Look at block after block of a release with every kind of metric."""
    policy = Analysis(
        error_rate=ErrorRate(objective=0.05),
        metrics=(CustomMetric(name="wrong-answers", bad="x", total="y"), CustomMetric(name="loss", sum="x", count="y")),
    )
    history = History(block=15.0, windows=tuple(_arm(750, number) for number in range(480)))
    state = analysis.begin(policy=policy, history=history, block=15.0, at=_START)
    exposure = Exposure(weight=0.05, mirror=Slot.PREVIEW, percent=95.0)
    seconds, largest = [], 0
    for look in range(_LOOKS):
        block = Block(
            start=state.until,
            end=state.until + timedelta(seconds=15),
            stable=_arm(700, look),
            candidate=_arm(50, look),
            shadow=_arm(750, look),
        )
        evidence = Evidence(start=block.start, end=block.end, blocks=(block,), scrape=15.0)
        began = time.process_time()
        _, state = analysis.judge(policy=policy, state=state, evidence=evidence, exposure=exposure)
        seconds.append(time.process_time() - began)
        largest = max(largest, len(state.state) + 200)
    return Cost(milliseconds=1000 * sorted(seconds)[_LOOKS // 2], state=largest)


def _arm(requests: int, seed: int) -> Arm:
    bad = requests * (8 + seed % 5) // 1000
    within = tuple((bound, float(round(requests * share))) for bound, share in _SHARES)
    answers = CustomCount(name="wrong-answers", bad=bad, total=requests)
    loss = CustomCount(name="loss", bad=0.3 * bad, total=requests)
    return Arm(requests=requests, failures=bad, latency=within, custom=(answers, loss))
