"""Trouble at a numbered call: the API server refuses, its answer is lost, or the process dies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from modelrelease.adapters import errors


class Crash(BaseException):
    """The operator's process died here. Not an Exception: nothing may catch it and go on."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens at a call; `after` means that the effect took place and only the answer is lost."""

    error: Callable[[], BaseException]
    after: bool = False


def crash(*, after: bool = False) -> Fault:
    return Fault(error=lambda: Crash("killed"), after=after)


def conflict() -> Fault:
    return Fault(error=lambda: errors.Conflict("the object has been modified; please apply your changes"))


def too_many_requests(seconds: float = 1.0) -> Fault:
    return Fault(error=lambda: errors.TooManyRequests("slow down", retry_after=seconds))


def unavailable(*, after: bool = False) -> Fault:
    return Fault(error=lambda: errors.Unavailable("HTTP 500"), after=after)


def forbidden() -> Fault:
    return Fault(error=lambda: errors.Forbidden("forbidden: the role does not allow it"))


@dataclass(kw_only=True)
class Faults:
    """Which call is hit by what. Calls are numbered from 0, reads and writes apart."""

    writes: dict[int, Fault] = field(default_factory=dict)
    reads: dict[int, Fault] = field(default_factory=dict)
    writes_seen: int = 0
    reads_seen: int = 0

    def next_write(self) -> Fault | None:
        fault = self.writes.get(self.writes_seen)
        self.writes_seen += 1
        return fault

    def next_read(self) -> Fault | None:
        fault = self.reads.get(self.reads_seen)
        self.reads_seen += 1
        return fault
