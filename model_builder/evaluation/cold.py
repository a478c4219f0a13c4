"""Run as a process of its own, `cold.py MODEL ROWS`: how long a model takes to its first answer, and how much memory.

Stands alone, so that nothing but numpy and ONNX Runtime is in the memory that it measures.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported

import numpy
import onnxruntime  # type: ignore[import-untyped]


def memory(name: str) -> int:
    """A line of this process's status, in bytes: VmRSS is what it holds now, VmHWM the most it ever held."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def main(model: str, file: str) -> None:
    """Print one JSON object."""
    rows = numpy.load(file, allow_pickle=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    before = memory("VmRSS")
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    session.run(None, {name: rows[:1]})
    seconds = time.perf_counter() - started
    session.run(None, {name: rows})
    grown = max(0, memory("VmHWM") - before)
    sys.stdout.write(json.dumps({"milliseconds": seconds * 1000, "bytes": grown}) + "\n")


main(*sys.argv[1:])
