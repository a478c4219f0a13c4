"""The verdicts of the last look at each candidate, live, in Prometheus' format.

Status is written seldom, so that a release costs few writes; dashboards want every look. What a
candidate leaves behind is dropped with it: series are bounded by the candidates there are, times
the metrics of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelrelease.domain.status import Verdict, VerdictValue
from modelrelease.runtime.store import Key

_LABELS = ("namespace", "release", "metric")
_NUMBERS = {
    "estimate": "The candidate's value.",
    "baseline": "Stable's value in the same time.",
    "threshold": "What is allowed to the candidate.",
    "e_value": "The evidence for the verdict as told: bets multiplied by so much. A pass takes 20.",
    "samples": "Requests to the candidate behind the verdict.",
}


class Judged(Collector):
    """Remembers what was judged last."""

    def __init__(self) -> None:
        self._verdicts: dict[Key, tuple[Verdict, ...]] = {}

    def tell(self, key: Key, verdicts: Sequence[Verdict]) -> None:
        """Take in the verdicts of a look; none at all: there is no candidate to judge any more."""
        if verdicts:
            self._verdicts[key] = tuple(verdicts)
        else:
            self._verdicts.pop(key, None)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        verdict = GaugeMetricFamily(
            "modelrelease_verdict", "1 for what the last look says of a metric.", labels=[*_LABELS, "verdict"]
        )
        numbers = {
            name: GaugeMetricFamily(f"modelrelease_verdict_{name}", text, labels=_LABELS)
            for name, text in _NUMBERS.items()
        }
        for (namespace, release), verdicts in self._verdicts.items():
            for told in verdicts:
                who = [namespace, release, told.metric]
                for value in VerdictValue:
                    verdict.add_metric([*who, value], told.verdict is value)
                for name, family in numbers.items():
                    if (number := getattr(told, name)) is not None:
                        family.add_metric(who, number)
        yield from (verdict, *numbers.values())
