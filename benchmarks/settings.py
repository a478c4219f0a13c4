"""What can be chosen about a run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes of the runs. The defaults are what fits into about half an hour on two cores."""

    name: str = "bench"
    releases: int = 100
    rate: float = 100.0
    promotions: int = 4
    rollbacks: int = 4
    changes: int = 60
    """Weight changes; those of the promotions and rollbacks are among them."""
    step_seconds: int = 5
    """How long a step lasts where API writes are counted."""
    rest_seconds: int = 60
    detections: int = 3
    ups: int = 3
    out: Path = Path("out/benchmarks.json")
    keep: bool = False
