"""What an audit is. An audit lives in one file of this package and exports one `AUDIT`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model_builder.data.base import Task
from model_builder.gates import Gate
from model_builder.metrics import Metric
from model_builder.progress import Reporter, SilentReporter

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from model_builder.data.base import Dataset

CLASSES = frozenset({Task.CLASSIFICATION})
ALL_TASKS = frozenset(Task)


@dataclass(frozen=True)
class Subject:
    """The model under audit, and what it is asked about.

    Attributes:
        predict: raw rows -> answers of the exported bytes: probabilities, or numbers for a regression.
        network: the torch twin, raw rows -> logits, for gradients only; None where there is none.
        data: the splits. What an audit reports is measured on `test`.
        seed: of everything random.
        texts: text fields that end up in the bundle, beside those of the data.
        reporter: what is told on the way.
    """

    predict: Callable[[NDArray[Any]], NDArray[Any]]
    network: nn.Module | None
    data: Dataset
    seed: int = 0
    texts: tuple[str, ...] = ()
    reporter: Reporter = field(default_factory=SilentReporter)

    @property
    def classes(self) -> Callable[[NDArray[Any]], NDArray[Any]]:
        """Raw rows -> numbers of the classes that are answered."""
        return lambda rows: self.predict(rows).argmax(axis=-1)


@dataclass(frozen=True)
class AuditResult:
    """What an audit found.

    Attributes:
        metrics: what gates can be put on.
        tables: plain data for the report and its pictures.
        messages: sentences for people: what was left out and why, and what is worth a look.
    """

    metrics: Mapping[str, Metric] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """One entry of the registry.

    Attributes:
        name: as in the spec.
        summary: one line for people.
        parameters: dataclass of what can be set, with limits.
        run: (subject, parameters) -> AuditResult, by keyword.
        gates: what holds unless the spec says otherwise. All but those of single numbers are tripwires.
        tasks: what kinds of labels it is about.
    """

    name: str
    summary: str
    parameters: type[Any]
    run: Callable[..., AuditResult]
    gates: tuple[Gate, ...]
    tasks: frozenset[Task] = ALL_TASKS


def subject_of(
    *,
    network: nn.Module | None,
    model: Path,
    data: Dataset,
    seed: int,
    reporter: Reporter,
    texts: tuple[str, ...] = (),
) -> Subject:
    """The subject that an exported graph is, in a session of one thread."""
    from model_builder import graph

    session = graph.open_session(model)
    return Subject(
        predict=lambda rows: graph.predict(session, rows),
        network=network,
        data=data,
        seed=seed,
        texts=texts,
        reporter=reporter,
    )


def not_run(why: str) -> AuditResult:
    """An audit that does not apply: nothing measured, so that a gate on it fails, and the reason."""
    return AuditResult(messages=(why,))
