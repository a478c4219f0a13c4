"""What is measured: rows, each with its figures, and what was promised about them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.builder import costs, formats, training
from benchmarks.builder.builds import Place

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Promise:
    """A limit of one figure.

    Attributes:
        what: for people.
        figure: its name among the row's figures.
        least, most: the limits; a figure without any is told and not judged.
        scale, digits, unit: how the figure is written: `figure * scale`, rounded.
        every: the limit holds for every seed, not for the median.
    """

    what: str
    figure: str
    least: float | None = None
    most: float | None = None
    scale: float = 1.0
    digits: int = 2
    unit: str = ""
    every: bool = False

    @property
    def target(self) -> str:
        """The limit in words."""
        limits = ((">=", self.least), ("<=", self.most))
        said = [f"{sign} {self.shown(limit)}" for sign, limit in limits if limit is not None]
        return ", ".join(said) + (", every seed" if said and self.every else "") if said else "-"

    def shown(self, value: float) -> str:
        """A value with its unit."""
        if not math.isfinite(value):
            return "failed"
        return f"{round(value * self.scale, self.digits):g}" + (f" {self.unit}" if self.unit else "")

    def met(self, values: Sequence[float]) -> bool | None:
        """Whether the figures of all seeds keep it; None where nothing is promised."""
        if self.least is None and self.most is None:
            return None
        if not all(math.isfinite(value) for value in values):
            return False
        judged = values if self.every else [statistics.median(values)]
        low = -math.inf if self.least is None else self.least
        high = math.inf if self.most is None else self.most
        # What differs by a rounding of the last place is equal.
        return all(low - 1e-9 <= value <= high + 1e-9 for value in judged)


@dataclass(frozen=True)
class Row:
    """One thing that is measured.

    Attributes:
        name: for `--rows`.
        title: of its part of the page.
        measure: measures with one seed.
        promises: what was promised about the figures.
        once: the seed changes nothing in it, and the first is enough.
        missing: why it can't be measured with what is installed, if so.
    """

    name: str
    title: str
    measure: Callable[[Place], Figures]
    promises: tuple[Promise, ...]
    once: bool = False
    missing: Callable[[], str | None] = lambda: None


def _percent(what: str, figure: str, **limits: Any) -> Promise:
    return Promise(what, figure, scale=100, unit="%", **limits)


def _points(what: str, figure: str, **limits: Any) -> Promise:
    return Promise(what, figure, scale=100, unit="points", **limits)


_TIMES = (
    Promise("time, static INT8 / FP32", "Int8Static"),
    Promise("time, dynamic INT8 / FP32", "Int8Dynamic"),
    Promise("time, FP16 / FP32", "Float16"),
    Promise("time, what `fastest` chose / FP32", "chosen", most=1.0, every=True),
)
ROWS: tuple[Row, ...] = (
    Row(
        "formats",
        "The digits in four number formats",
        formats.measure,
        (
            _percent("accuracy, FP32", "accuracyFp32", least=0.985),
            _percent("accuracy, static INT8", "accuracyInt8", least=0.985),
            _points("accuracy lost, static INT8", "lostInt8", most=0.005),
            _percent("same answers as FP32, static INT8", "agreementInt8", least=0.995),
            _percent("accuracy, FP16", "accuracyFp16", least=0.985),
            _points("accuracy lost, FP16", "lostFp16", most=0.001),
            Promise("size, static INT8 / FP32", "sizeInt8", most=0.30, digits=3),
            Promise("parameters of the network", "parameters", least=100_000, digits=0),
        ),
    ),
    Row(
        "qat",
        "Training that knows of INT8",
        formats.measure_qat,
        (
            _percent("accuracy, QAT", "accuracyQat", least=0.985),
            _points("accuracy lost, QAT", "lostQat", most=0.005),
            _percent("same answers as FP32, QAT", "agreementQat", least=0.995),
        ),
        missing=formats.qat_missing,
    ),
    Row(
        "faults",
        "Planted faults, and what is right, before the gates of every build",
        formats.measure_faults,
        (
            Promise("planted faults", "faults", digits=0),
            Promise("planted faults that no gate caught", "missed", most=0, digits=0, every=True),
            Promise("formats that are right", "right", digits=0),
            Promise("formats that are right and were blocked", "blocked", most=0, digits=0, every=True),
        ),
    ),
    Row(
        "prune",
        "Half of all channels pruned",
        training.measure_pruning,
        (
            Promise("rows per second, pruned / whole", "throughput", least=1.5),
            _points("accuracy lost", "lost", most=0.01),
            Promise("size, pruned / whole", "size", digits=3),
        ),
    ),
    Row(
        "distill",
        "A student of 32 units with 100 labels and a pool without labels",
        training.measure_distillation,
        (
            _percent("accuracy, teacher", "teacher"),
            _percent("accuracy, student alone", "alone"),
            _percent("accuracy, distilled student", "distilled"),
            _points("gain of the distilled student", "gain", least=0.03),
        ),
    ),
    Row(
        "speed-conv",
        "Time of one row beside FP32, convolutional network",
        costs.measure_convolutional,
        _TIMES,
    ),
    Row(
        "speed-encoder",
        "Time of one row beside FP32, transformer encoder",
        costs.measure_encoder,
        (*_TIMES, _percent("accuracy, chosen format", "accuracy"), _points("accuracy lost", "lost")),
    ),
    Row(
        "rebuild",
        "A rebuild with nothing changed",
        costs.measure_rebuild,
        (
            Promise("time, first build", "first", digits=1, unit="s"),
            Promise("time, rebuild", "again", most=3.0, unit="s"),
            Promise("digests other than the first", "others", most=0, digits=0, every=True),
        ),
    ),
    Row(
        "killed",
        "Builds killed at random moments",
        costs.measure_killed,
        (
            Promise("kills", "kills", least=1, digits=0, every=True),
            Promise("digests other than the undisturbed one", "others", most=0, digits=0, every=True),
        ),
    ),
    Row(
        "whole",
        "Fine-tuning, static INT8, all audits, export, signature and report",
        costs.measure_whole,
        (Promise("time, all commands", "seconds", most=90.0, digits=1, unit="s"),),
    ),
    Row(
        "memory",
        "Memory of a build of 400 MB of weights, static INT8 and audits",
        costs.measure_memory,
        (
            Promise("weights", "source", scale=2**-20, digits=0, unit="MiB"),
            Promise("most memory of all processes", "peak", scale=2**-20, digits=0, unit="MiB"),
            Promise("share of what is allowed: four times the weights and 1 GiB", "ofLimit", most=1.0),
        ),
        once=True,
    ),
)
