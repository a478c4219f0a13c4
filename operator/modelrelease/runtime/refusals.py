"""What the API server refused, kept until it is accepted: the reason for `status`, and when to try again.

A quota, a missing permission or a name that is taken goes away without an event that the
operator would see, so the same write is tried again, ever more rarely. Another write of the
same release (a rollback, above all) does not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from modelrelease.adapters import errors
from modelrelease.domain.observed import Problem
from modelrelease.runtime.store import Key

FIRST = timedelta(seconds=5)
LONGEST = timedelta(seconds=60)


class Refused(Exception):  # noqa: N818 - named for what happened
    """A write that trying again at once does not help."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One refused write."""

    write: str  # what was to be written, by content
    problem: Problem
    tries: int
    retry_at: datetime


class Refusals:
    """At most one for each release: a plan stops at the first write that fails."""

    def __init__(self) -> None:
        self._held: dict[Key, Refusal] = {}

    def of(self, key: Key) -> Refusal | None:
        """Return the release's refusal."""
        return self._held.get(key)

    def pending(self, key: Key, write: str, now: datetime) -> bool:
        """Tell whether this very write was refused and its next try is still ahead."""
        held = self._held.get(key)
        return held is not None and held.write == write and now < held.retry_at

    def note(self, key: Key, write: str, problem: Problem, now: datetime) -> None:
        """Remember that a write was refused."""
        held = self._held.get(key)
        tries = held.tries + 1 if held is not None and held.write == write else 1
        pause = min(LONGEST, FIRST * 2.0 ** min(tries - 1, 10))
        self._held[key] = Refusal(write=write, problem=problem, tries=tries, retry_at=now + pause)

    def clear(self, key: Key) -> None:
        """Forget it: everything was accepted, or the release is gone."""
        self._held.pop(key, None)


def problem_of(error: errors.ApiError, what: str) -> Problem | None:
    """Return the problem that an answer means, None where the same write is worth another try as it is."""
    if isinstance(error, errors.QuotaExceeded):
        message = f"{what} is refused: {error}; free some of the quota or raise it"
        return Problem(reason="QuotaExceeded", message=message, waiting=True, what="room in the ResourceQuota")
    if isinstance(error, errors.Forbidden):
        message = f"{what} is refused: {error}; grant it to the operator's role, or see the admission policy it names"
        return Problem(reason="Forbidden", message=message)
    if isinstance(error, errors.Invalid):
        message = f"{what} is refused: {error}; correct the field of spec that it comes from"
        return Problem(reason="Invalid", message=message)
    if isinstance(error, errors.KindAbsent):
        message = f"{what} can't be created: this cluster does not know the kind; install the Gateway API's CRDs"
        return Problem(reason="GatewayAPINotInstalled", message=message)
    if isinstance(error, errors.NotFound):
        return Problem(reason="NotFound", message=f"{what} can't be created: {error}")
    return None
