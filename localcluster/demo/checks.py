"""Did an act end as told? Pure: from what was seen of the release during the act to a list of answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modelrelease.domain.status import HistoryEntry, Outcome, Status

from localcluster.demo.records import Count
from localcluster.demo.settings import HOLDBACK, STEPS


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that had to be so, and whether it was."""

    text: str
    ok: bool
    found: str = ""
    """What was found instead, where it was not."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen during an act."""

    statuses: tuple[Status, ...]
    """The release's status after each change, the last one at the end."""
    jobs_before: frozenset[str]
    jobs_after: frozenset[str]
    served: Mapping[str, Count] = field(default_factory=dict)
    """Requests during the act by version."""

    @property
    def end(self) -> Status:
        """The status at the end."""
        return self.statuses[-1]

    @property
    def last(self) -> HistoryEntry | None:
        """The release that ended last."""
        return self.end.history[0] if self.end.history else None

    @property
    def accepted(self) -> tuple[int, ...]:
        """The weights that the gateway accepted for the candidate, each once, in order; 0 left out."""
        found: list[int] = []
        for status in self.statuses:
            weight = status.candidate.weight.accepted if status.candidate else 0
            if weight and (not found or found[-1] != weight):
                found.append(weight)
        return tuple(found)

    @property
    def new_jobs(self) -> frozenset[str]:
        """The build Jobs that were made."""
        return self.jobs_after - self.jobs_before


Checks = Callable[[Seen], list[Check]]


def at_rest(status: Status, *, generation: int) -> bool:
    """Tell whether a release has nothing left to do: decided, settled, and cleaned up behind itself."""
    behind = status.observed_generation < generation
    return not (behind or status.candidate or status.waiting_for or status.retired) and bool(
        status.stable or status.rejected
    )


def became_stable(version: str) -> Checks:
    """The first version: built, served, and stable."""
    return lambda seen: [
        *_ended(seen, version=version, outcome=Outcome.PROMOTED),
        _stable(seen, version),
        Check(text="one build Job was made", ok=len(seen.new_jobs) == 1, found=_names(seen.new_jobs)),
    ]


def promoted(version: str) -> Checks:
    """A good version: step by step to all of the traffic."""

    def checks(seen: Seen) -> list[Check]:
        ladder = (*STEPS, 100 - HOLDBACK)
        return [
            *_ended(seen, version=version, outcome=Outcome.PROMOTED),
            Check(
                text=f"the gateway accepted {', '.join(map(str, ladder))} % in this order",
                ok=seen.accepted == ladder,
                found=str(seen.accepted),
            ),
            _stable(seen, version),
            _answered(seen, version),
            _no_failure(seen, version),
        ]

    return checks


def gated(version: str, *, stable: str) -> Checks:
    """A version that fails a gate before it gets any traffic."""

    def checks(seen: Seen) -> list[Check]:
        count = seen.served.get(version, Count())
        return [
            *_ended(seen, version=version, outcome=Outcome.FAILED, reason="GateFailed"),
            Check(
                text=f"{version} got no traffic",
                ok=not seen.accepted and not count.total,
                found=f"weights {seen.accepted}, {count.total} requests",
            ),
            _stable(seen, stable),
        ]

    return checks


def rolled_back(version: str, *, stable: str) -> Checks:
    """A version that passes its gates, fails in production, and is taken back at a low weight."""

    def checks(seen: Seen) -> list[Check]:
        count = seen.served.get(version, Count())
        return [
            *_ended(seen, version=version, outcome=Outcome.ROLLED_BACK, reason="AnalysisFailed"),
            Check(
                text=f"{version} never had more than {STEPS[0]} % of the traffic",
                ok=seen.accepted == STEPS[:1],
                found=str(seen.accepted),
            ),
            Check(text=f"{version} failed requests of its own", ok=count.failed > 0, found=f"{count.failed} failed"),
            _stable(seen, stable),
        ]

    return checks


def reverted(version: str) -> Checks:
    """Back to a version that is known: nothing is built, and nothing moves."""
    return lambda seen: [
        _stable(seen, version),
        Check(text="the rejected version is forgotten", ok=seen.end.rejected is None, found=str(seen.end.rejected)),
        Check(text="no build Job was made", ok=not seen.new_jobs, found=_names(seen.new_jobs)),
        Check(text="no weight was moved", ok=not seen.accepted, found=str(seen.accepted)),
    ]


def _ended(seen: Seen, *, version: str, outcome: Outcome, reason: str = "") -> list[Check]:
    last = seen.last
    found = f"{last.version} ended {last.outcome}: {last.reason}: {last.message}" if last else "nothing has ended"
    ok = last is not None and last.version == version and last.outcome is outcome and reason in ("", last.reason)
    return [Check(text=f"{version} ended as {outcome}{f' ({reason})' if reason else ''}", ok=ok, found=found)]


def _stable(seen: Seen, version: str) -> Check:
    found = seen.end.stable.version if seen.end.stable else "nothing"
    return Check(text=f"{version} is stable", ok=found == version, found=f"{found} is")


def _answered(seen: Seen, version: str) -> Check:
    count = seen.served.get(version, Count())
    return Check(text=f"{version} answered requests", ok=count.ok > 0, found="it answered none")


def _no_failure(seen: Seen, version: str) -> Check:
    failed = {name: count.failed for name, count in seen.served.items() if count.failed}
    return Check(text="no request failed", ok=not failed, found=f"failed by version: {failed} while {version} came")


def _names(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
