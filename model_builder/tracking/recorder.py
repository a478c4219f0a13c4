"""Stands between a build and its reporter, and writes down what passes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model_builder.decode import camel
from model_builder.progress import Reporter
from model_builder.tracking.base import Sink, Told


class Recorder:
    """A reporter that also writes to places; one that fails is told once and left out from then on."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._sinks: dict[str, Sink] = {}
        self._phase = ""
        self._last: int | None = None
        #: How many series a phase of this name has had: two steps of one name, or two trainings within one.
        self._series: dict[str, int] = {}

    def add(self, name: str, opener: Callable[[], Sink]) -> None:
        """Write to one more place."""

        def opened(_: object) -> None:
            self._sinks[name] = opener()

        self._attempt(name, opened, None)

    def phase(self, name: str) -> None:
        """As the reporter does."""
        self._phase, self._last = name, None
        self._reporter.phase(name)

    def step(self, *, done: int, total: int, **figures: float) -> None:
        """As the reporter does, and write the figures down."""
        self._reporter.step(done=done, total=total, **figures)
        if self._last is None or done <= self._last:  # the first of the phase, or a training that begins (again)
            self._series[self._phase] = self._series.get(self._phase, 0) + 1
        self._last = done
        if figures:
            number = self._series[self._phase]
            prefix = self._phase if number == 1 else f"{self._phase}-{number}"
            values = {f"{prefix}/{name}": float(value) for name, value in figures.items()}
            self._all(lambda sink: sink.scalars(values, step=done))

    def note(self, text: str) -> None:
        """As the reporter does."""
        self._reporter.note(text)

    def finished(self, described: Mapping[str, Any], *, digest: str) -> None:
        """Write down what a manifest tells."""
        told = Told(
            digest=digest,
            parameters=_parameters(described),
            metrics={name: float(entry["value"]) for name, entry in described["metrics"].items()},
            gates={gate["metric"]: f"{gate['verdict']}: {gate['message']}" for gate in described["gates"]},
        )
        self._all(lambda sink: sink.finished(told))

    def close(self, *, failure: str | None) -> None:
        """The build is over."""
        self._all(lambda sink: sink.close(failure=failure))
        self._sinks.clear()

    def _all(self, write: Callable[[Sink], None]) -> None:
        for name, sink in list(self._sinks.items()):
            self._attempt(name, write, sink)

    def _attempt(self, name: str, write: Callable[[Any], None], sink: Sink | None) -> None:
        try:
            write(sink)
        except Exception as error:  # noqa: BLE001 - a library, a disk or a server: none of them may fail a build
            self._sinks.pop(name, None)
            detail = " ".join(str(error).split())[:200]
            self._reporter.note(f"nothing more is logged to {name} ({type(error).__name__}: {detail})")


def _parameters(described: Mapping[str, Any]) -> dict[str, str]:
    told = {
        "source": described["source"]["uri"],
        "data": described["data"]["name"],
        "dataDigest": described["data"]["digest"],
        "seed": described["data"]["seed"],
    }
    for index, step in enumerate(described["steps"]):
        for name, value in step["parameters"].items():
            told[f"{index}.{step['pass']}.{camel(name)}"] = value
    return {name: str(value) for name, value in told.items()}
