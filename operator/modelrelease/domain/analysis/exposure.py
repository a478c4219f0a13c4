"""What the candidate is exposed to at a look."""

from __future__ import annotations

from dataclasses import dataclass

from modelrelease.domain.observed import Slot


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """The candidate gets `weight` (0..1) of the requests, and the slot `mirror` copies of `percent` of them.

    A mirror to stable is the control of a bake; to any other slot it is the candidate's shadow.
    """

    weight: float
    mirror: Slot | None = None
    percent: float = 100.0

    @property
    def shadowed(self) -> bool:
        """Whether all requests are copied to the candidate."""
        return self.mirror is not None and self.mirror is not Slot.STABLE and self.percent >= 100.0

    @property
    def split(self) -> bool:
        """Whether both slots get a share of the requests that can be checked."""
        return 1e-4 < self.weight < 1.0 - 1e-4

    @property
    def controlled(self) -> bool:
        """Whether stable answers requests to compare with."""
        return self.weight < 1.0 - 1e-4 or self.mirror is Slot.STABLE
