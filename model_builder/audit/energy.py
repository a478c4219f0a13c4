"""Energy of 1000 answers, where the machine has a meter: RAPL of the processor, NVML of NVIDIA's cards.

A meter counts everything that runs on its part of the machine, so other work makes the number too high. Without a
readable meter the energy is unknown, and nothing is estimated.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from model_builder.audit.base import Audit, AuditResult, Subject
from model_builder.decode import Range
from model_builder.evidence import rounded
from model_builder.metrics import Metric

_POWERCAP = Path("/sys/class/powercap")
_NVML = "libnvidia-ml.so.1"


@dataclass(frozen=True)
class Parameters:
    """How long is measured."""

    seconds: Annotated[float, Range(0.05, 60), "how long rows are answered one by one"] = 1.0


@dataclass(frozen=True)
class Meter:
    """A counter of energy that starts anew at zero beyond its limit.

    Attributes:
        name: of the part of the machine.
        read: the count, in joules.
        limit: the largest count, in joules; 0 for one that never starts anew.
    """

    name: str
    read: Callable[[], float]
    limit: float = 0.0

    def since(self, before: float) -> float:
        """Joules since the count was `before`."""
        now = self.read()
        return now - before if now >= before else now - before + self.limit


def processor_meters(folder: Path = _POWERCAP) -> list[Meter]:
    """The packages of the processor that this user may read; parts of them (`intel-rapl:0:0`) are counted in them."""
    meters = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:
            continue
        try:
            limit = int((zone / "max_energy_range_uj").read_text()) / 1e6
            meter = Meter(
                name=(zone / "name").read_text().strip(),
                read=lambda file=zone / "energy_uj": int(file.read_text()) / 1e6,  # type: ignore[misc]
                limit=limit,
            )
            meter.read()
        except (OSError, ValueError):
            continue
        meters.append(meter)
    return meters


def card_meters(library: str = _NVML) -> list[Meter]:
    """NVIDIA's cards that count their energy (Volta and newer)."""
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return []
    count = ctypes.c_uint()
    if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return []
    meters = []
    for index in range(count.value):
        card, joules = ctypes.c_void_p(), ctypes.c_ulonglong()
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(card)) != 0:
            continue
        if nvml.nvmlDeviceGetTotalEnergyConsumption(card, ctypes.byref(joules)) == 0:
            meters.append(Meter(name=f"gpu-{index}", read=_card_reader(nvml, card)))
    return meters


def _card_reader(nvml: ctypes.CDLL, card: ctypes.c_void_p) -> Callable[[], float]:
    def read() -> float:
        millijoules = ctypes.c_ulonglong()
        nvml.nvmlDeviceGetTotalEnergyConsumption(card, ctypes.byref(millijoules))
        return millijoules.value / 1000

    return read


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Answer single rows for a while between two readings."""
    return measured(subject, seconds=parameters.seconds, meters=[*processor_meters(), *card_meters()])


def measured(subject: Subject, *, seconds: float, meters: list[Meter]) -> AuditResult:
    """The energy that these meters count."""
    if not meters:
        return AuditResult(messages=("energy is unknown: this machine has no meter that can be read (RAPL, NVML)",))
    row, answers = subject.data.test.rows[:1], 0
    before = [meter.read() for meter in meters]
    ends = time.monotonic() + seconds
    while answers == 0 or time.monotonic() < ends:
        subject.predict(row)
        answers += 1
    used = {meter.name: meter.since(start) for meter, start in zip(meters, before, strict=True)}
    return AuditResult(
        metrics={"joulesPer1000": Metric(rounded(1000 * sum(used.values()) / answers), answers)},
        tables={"energy": {name: rounded(1000 * joules / answers) for name, joules in used.items()}},
    )


AUDIT = Audit(
    name="energy",
    summary="measures the energy of 1000 answers, where the machine has a meter",
    parameters=Parameters,
    run=run,
    gates=(),
)
