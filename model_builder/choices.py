"""Choices that a pass makes by measuring time: another moment could decide otherwise, so they are kept and replayed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model_builder.decode import suggest
from model_builder.errors import BadSpec


@dataclass(frozen=True)
class Choices:
    """The choices of one step.

    Attributes:
        given: name -> value, from the build that is replayed.
        made: name -> value, of this build; part of the manifest.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)

    def choose(self, name: str, *, among: Collection[str], measure: Callable[[], str]) -> str:
        """The replayed value, or the one that `measure` finds best.

        Raises:
            BadSpec: the replayed value is none of those that this recipe has.
        """
        chosen = self.given[name] if name in self.given else measure()
        if chosen not in among:
            raise BadSpec(f"the replayed choice {name!r} is {chosen!r}; {suggest(chosen, among)}")
        self.made[name] = chosen
        return chosen


def of_manifest(path: Path) -> dict[str, str]:
    """The choices of an earlier build, from its manifest: step and name -> value."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))["choices"]
        return {str(name): str(value) for name, value in raw.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadSpec(f"--replay {path} is not the manifest of a build ({error!r}): give its manifest.json") from error
