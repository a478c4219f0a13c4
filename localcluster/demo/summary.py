"""What is said at the end, and the raw numbers behind it. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from localcluster.demo import timeline
from localcluster.demo.checks import Check
from localcluster.demo.records import Moment, Request, Span
from localcluster.demo.settings import Settings
from localcluster.demo.view import clock

EXPECTED_TO_FAIL = "v4"
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Told:
    """Everything that was written down during the demo."""

    settings: Settings
    started: float
    ended: float
    spans: Sequence[Span]
    checks: Mapping[str, Sequence[Check]]
    moments: Sequence[Moment]
    requests: Sequence[Request]
    names: Mapping[str, str]
    acts: int
    """How many acts there are to be played."""

    @property
    def lost(self) -> list[Request]:
        """The failed requests that v4 has not answered itself."""
        return timeline.lost(self.requests, names=self.names, expected=EXPECTED_TO_FAIL)

    @property
    def ok(self) -> bool:
        """Whether every act ended as told, and no request was lost."""
        done = len(self.spans) == self.acts and all(check.ok for found in self.checks.values() for check in found)
        return done and not self.lost


def text(told: Told) -> str:
    """Return the summary."""
    lines = ["", f"The demo took {clock(told.ended - told.started)}.", ""]
    phases = timeline.phase_seconds(told.moments, end=told.ended)
    for span in told.spans:
        good = all(check.ok for check in told.checks[span.act])
        lines.append(f"{'✔' if good else '✘'} {span.title}  ({clock(span.end - span.start)})")
        spent = ", ".join(
            f"{phase} {clock(seconds)}" for phase, seconds in phases.get(span.act, {}).items() if seconds >= 0.5
        )
        lines += [f"    {spent}"] if spent else []
        lines += [
            f"    {'✔' if check.ok else '✘'} {check.text}{'' if check.ok else f': {check.found}'}"
            for check in told.checks[span.act]
        ]
    if told.requests:
        lines += ["", *_traffic(told)]
    return "\n".join(lines)


def _traffic(told: Told) -> list[str]:
    counts = timeline.by_version(timeline.tally(told.requests), names=told.names)
    lines = [f"{len(told.requests):,} requests, {sum(count.ok for count in counts.values()):,} answered well"]
    for version, count in counts.items():
        mine = [r for r in told.requests if (told.names.get(r.revision, r.revision) or timeline.NOBODY) == version]
        p50, p95 = (timeline.quantile((r.latency_ms for r in mine), share) for share in (0.5, 0.95))
        lines.append(f"    {version}: {count.ok:,} well, {count.failed:,} failed; p50 {p50:.1f} ms, p95 {p95:.1f} ms")
        lines += [f"        {number} x {error}" for error, number in timeline.failures(mine)[:_SHOWN]]
    own = sum(not r.ok for r in told.requests) - len(told.lost)
    share = f" ({own / len(told.requests):.2%} of all)".replace("%", " %")
    lines.append(f"{own:,} requests were failed by {EXPECTED_TO_FAIL} itself, as its answers say{share}")
    lines.append(f"{len(told.lost):,} requests were lost beyond those")
    lines += [f"    at {clock(r.at - told.started)} {r.protocol}: {r.error}" for r in told.lost[: 2 * _SHOWN]]
    return lines


def document(told: Told) -> dict[str, Any]:
    """Return the raw numbers as JSON: times are seconds since the start."""
    cut = timeline.bins(told.requests, names=told.names, start=told.started, end=told.ended)
    counts = timeline.by_version(timeline.tally(told.requests), names=told.names)
    return {
        "ok": told.ok,
        "settings": {key: str(value) for key, value in asdict(told.settings).items() if value is not None},
        "seconds": round(told.ended - told.started, 1),
        "acts": [
            {
                "act": span.act,
                "title": span.title,
                "start": round(span.start - told.started, 2),
                "end": round(span.end - told.started, 2),
                "checks": [asdict(check) for check in told.checks[span.act]],
            }
            for span in told.spans
        ],
        "phaseSeconds": {
            act: {phase: round(spent, 1) for phase, spent in found.items()}
            for act, found in timeline.phase_seconds(told.moments, end=told.ended).items()
        },
        "requests": {
            "total": len(told.requests),
            "byVersion": {version: asdict(count) for version, count in counts.items()},
            "lost": len(told.lost),
        },
        "moments": [{**asdict(moment), "at": round(moment.at - told.started, 3)} for moment in told.moments],
        "failures": [
            {
                **asdict(request),
                "at": round(request.at - told.started, 3),
                "version": told.names.get(request.revision, ""),
            }
            for request in told.requests
            if not request.ok
        ],
        "perSecond": {
            "requests": {name: _numbers(series) for name, series in cut.rate.items()},
            "errorRatio": {name: _numbers(series) for name, series in cut.error_ratio.items()},
            "p95Ms": {name: _numbers(series) for name, series in cut.p95_ms.items()},
        },
    }


def _numbers(series: Sequence[float]) -> list[float | None]:
    """JSON knows no NaN."""
    return [None if math.isnan(number) else round(number, 4) for number in series]
