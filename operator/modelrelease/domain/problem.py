"""Why something does not get on: a fact of its own, whatever it is about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why something does not get on, said so that a person can act.

    `waiting` problems (no GPU free, quota) are waited out and do not count against the
    deadline; `fatal` ones end the attempt.
    """

    reason: str
    message: str
    waiting: bool = False
    fatal: bool = False
    what: str = ""  # what is awaited, for waitingFor: "1 nvidia.com/gpu"
