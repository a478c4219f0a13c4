"""All that passes between the server and a site. Nothing else does: no row, no label, no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Joined:
    """A site is there.

    Attributes:
        rows: its training rows, the weight of its updates; 0 where noise is to hide them.
        key: its public key; empty without masks.
    """

    rows: int
    key: bytes


@dataclass(frozen=True)
class Order:
    """What a site is asked for in one round.

    Attributes:
        round: from 1.
        part: Body: train, and tell how the shared parameters changed. Head: don't train, and tell how the site's own
            head differs from the one that all began with.
        vector: float32, the shared parameters, or the head that all began with.
        share: weight of the site's update in the sum.
        keys: number -> public key of all sites, with masks.
    """

    round: int
    part: Literal["Body", "Head"]
    vector: NDArray[Any]
    share: float
    keys: Mapping[int, bytes]


@dataclass(frozen=True)
class Told:
    """What a site says about itself; with noise it says nothing, for these figures have none.

    Attributes:
        loss: mean loss of its last epoch; None where it did not train.
        error: of its network, its own head included, on its own validation rows.
        validation_rows: how many these are.
        notes: sentences for the report.
    """

    loss: float | None
    error: float
    validation_rows: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a site answers: uint64, as long as the order's vector, weighted, with noise and masks where asked for."""

    values: NDArray[Any]
    told: Told | None


class Transport(Protocol):
    """Reaches all sites at once. Sites are numbered from zero."""

    @property
    def names(self) -> list[str]:
        """Of the sites."""

    @property
    def simulated(self) -> bool:
        """Whether the sites are parts of one data set, and their noise follows its seed."""

    def join(self) -> list[Joined]:
        """Begin a training, or go on with one: every site answers, with a fresh key."""

    def ask(self, orders: list[Order]) -> list[Answer]:
        """One order and one answer for each site."""
