"""What ``up`` was asked for and which host ports it opened: read by every later command."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from localcluster import parts


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a cluster was made with."""

    size: str
    gpus: int = 8
    scrape_interval: str = "5s"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for; what is left open stays as it is in a cluster that exists."""

    size: str
    gpus: int | None = None
    scrape_interval: str | None = None

    def settle(self, old: Options | None) -> Options:
        """Return what the cluster should be, given what it was. It never shrinks: a larger one serves as well."""
        base = old or Options(size=self.size)
        return Options(
            size=max(base.size, self.size, key=parts.SIZES.index),
            gpus=base.gpus if self.gpus is None else self.gpus,
            scrape_interval=self.scrape_interval or base.scrape_interval,
        )


@dataclass(frozen=True, kw_only=True)
class Record:
    """One cluster as it was started."""

    options: Options
    ports: dict[str, int]
    ready: bool = False
    """False from the moment ``up`` begins until everything has been seen working."""
    gateway_manifests: str = ""
    """File with the gateway's objects, definitions of the Gateway API included."""

    def write(self, path: Path) -> None:
        """Store the record; a reader never sees half of it."""
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n")
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """Load what ``write`` stored; None when there is nothing that can be understood."""
        try:
            raw = json.loads(path.read_text())
            return cls(**{**raw, "options": Options(**raw["options"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None
