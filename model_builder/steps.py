"""The steps of a recipe and their keys: what has the same key comes out the same, and is done once.

A key is a hash over the key of the step before, the step's own parameters, and the source code of what it runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from model_builder import identity
from model_builder.cache import key_of
from model_builder.passes.base import Stage
from model_builder.spec import Plan, ResolvedPass


@dataclass(frozen=True)
class Step:
    """One pass at its place in the recipe, or one export."""

    name: str
    key: str
    resolved: ResolvedPass | None = None
    #: Choices of an earlier build that this step is to make again.
    given: Mapping[str, str] = field(default_factory=dict)
    #: Where in the recipe: `0.train`.
    place: str = ""

    @property
    def lossy(self) -> bool:
        """Whether it trades quality for size."""
        return self.resolved is not None and self.resolved.implementation.lossy


@dataclass(frozen=True)
class Recipe:
    """What the keys of all steps follow from.

    Attributes:
        plan: its passes, and the options of the export.
        replayed: choices of an earlier build that are to be made again: `place.pass.name` -> value.
        processes: how many share the passes that can be shared.
    """

    plan: Plan
    replayed: Mapping[str, str]
    processes: int

    def steps(self, stage: Stage, *, start: str, first: int) -> list[Step]:
        """The passes of a stage in their order.

        Args:
            stage: of the passes.
            start: key of what the first of them is given.
            first: its place in the recipe.
        """
        found, key = [], start
        for index, resolved in enumerate(self.plan.of_stage(stage), start=first):
            implementation = resolved.implementation
            place = f"{index}.{implementation.name}"
            prefix = place + "."
            given = {n.removeprefix(prefix): v for n, v in self.replayed.items() if n.startswith(prefix)}
            code = identity.code_digest(implementation.apply.__module__)
            # Sums depend on how they are cut over processes.
            shared = self.processes if implementation.parallel else 1
            key = key_of(key, implementation.name, code, dataclasses.asdict(resolved.parameters), given, shared)
            found.append(Step(name=implementation.name, key=key, resolved=resolved, given=given, place=place))
        return found

    def export(self, before: str) -> Step:
        """The export of the network that a step with this key has left."""
        code = identity.code_digest("model_builder.export", "model_builder.checks")
        return Step(name="export", key=key_of(before, "export", code, self.plan.spec.export.graph_options()))
