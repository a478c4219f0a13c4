"""Imperative commands: annotations that name exactly what they mean.

`modelrelease.dev/VERB: REVISION/ATTEMPT/STEP/ID` (STEP is `-` where it does not matter). A
command is latched into `status.handled` on sight, by verb and id, so that nothing replays
it when the annotation stays, vanishes or comes back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from modelrelease.domain.naming import GROUP
from modelrelease.domain.status import Candidate

HANDLED_LIMIT = 20


class Verb(StrEnum):
    """What a person can order."""

    APPROVE = "approve"
    PROMOTE = "promote"
    ABORT = "abort"
    RETRY = "retry"


@dataclass(frozen=True, kw_only=True)
class Command:
    """One order."""

    verb: Verb
    revision: str
    attempt: int
    step: int | None
    token: str

    def means(self, candidate: Candidate) -> bool:
        """Tell whether the candidate is the one this command was written for."""
        same_step = self.step is None or self.step == candidate.step
        return self.revision == candidate.revision and self.attempt == candidate.attempt and same_step


def annotation(verb: Verb) -> str:
    """Return the annotation that carries a verb."""
    return f"{GROUP}/{verb}"


def format_command(*, revision: str, attempt: int, step: int | None, token: str) -> str:
    """Return the annotation's value."""
    return f"{revision}/{attempt}/{'-' if step is None else step}/{token}"


def latch_id(verb: Verb, value: str) -> str:
    """Return what is kept in `status.handled`: short, and different for each value."""
    return f"{verb}:{hashlib.sha256(value.encode()).hexdigest()[:12]}"


def unhandled(annotations: Mapping[str, str], handled: tuple[str, ...]) -> list[tuple[str, Command | None]]:
    """Return the (latch id, command) pairs not seen before; None for one that can't be read."""
    found = []
    for verb in Verb:
        value = annotations.get(annotation(verb))
        if value is not None and (latch := latch_id(verb, value)) not in handled:
            found.append((latch, _parse(verb, value)))
    return found


def _parse(verb: Verb, value: str) -> Command | None:
    parts = value.split("/")
    if len(parts) != 4 or not parts[1].isdigit() or not (parts[2] == "-" or parts[2].isdigit()):
        return None
    step = None if parts[2] == "-" else int(parts[2])
    return Command(verb=verb, revision=parts[0], attempt=int(parts[1]), step=step, token=parts[3])
