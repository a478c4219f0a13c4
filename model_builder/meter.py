"""Time and peak memory of one step, and giving back what is no longer needed."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
#: Written to clear_refs, it sets the peak back to what is resident now (proc(5)).
_RESET_PEAK = "5"


@dataclass
class Usage:
    """What a step took; complete once it is over.

    Attributes:
        seconds: wall time.
        peak_bytes: the most memory that was resident during the step, the rest of the process included; None on
            systems without /proc.
        gpu_peak_bytes: the most memory that torch had allocated on the GPU during the step; None without one.
    """

    seconds: float = 0.0
    peak_bytes: int | None = None
    gpu_peak_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As it appears in the manifest."""
        plain: dict[str, Any] = {"seconds": round(self.seconds, 3), "peakBytes": self.peak_bytes}
        return plain if self.gpu_peak_bytes is None else plain | {"gpuPeakBytes": self.gpu_peak_bytes}


@contextlib.contextmanager
def measured() -> Iterator[Usage]:
    """Measure what happens inside."""
    usage = Usage()
    with contextlib.suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)
    gpu = _gpu()
    if gpu is not None:
        gpu.reset_peak_memory_stats()
    started = time.monotonic()
    try:
        yield usage
    finally:
        usage.seconds = time.monotonic() - started
        usage.peak_bytes = _peak_bytes()
        gpu = gpu or _gpu()
        usage.gpu_peak_bytes = None if gpu is None else int(gpu.max_memory_allocated())


def give_back() -> None:
    """Return memory that nothing uses any more to the system.

    What large tensors leave behind in the C library's heap stays with the process unless it is asked: of a model of
    400 MB up to 800 MiB, after every phase. glibc only; elsewhere nothing happens beyond the collection.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _peak_bytes() -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _gpu() -> Any:
    """Torch's own account of the GPU, if torch is loaded and there is one: loading it would cost more than it says."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
