"""The network as TorchScript beside the graph, for Triton's PyTorch backend.

torch has deprecated TorchScript; that backend still runs nothing else without a compiler. What torch writes depends on
what was traced before in the same process, and tells the paths of source files: both are taken out.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import graph
from model_builder.checks import PARITY_TOLERANCE, Check
from model_builder.errors import BadSpec
from model_builder.export import quiet, served_network

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from model_builder.data.base import Dataset

NAME = "model.pt"
#: What the one class in the file is called; a zip file has one folder around everything.
_MODULE, _CLASS, _ROOT = "__torch__.model", "Served", "model"
#: Notes of where code came from, and a hash over them.
_NOTES = re.compile(r".*\.debug_pkl|.*/\.data/serialization_id")
_MOMENT = (1980, 1, 1, 0, 0, 0)
_ROWS = 64


def write(network: nn.Module | None, *, data: Dataset, to: Path) -> None:
    """Trace the network on training rows and write it, with the probabilities inside; the same network, the same bytes.

    Raises:
        BadSpec: the source is a graph, or the network has parts that tracing can't join into one.
    """
    import torch

    if network is None:
        raise BadSpec("spec.export.formats has TorchScript, and the source is an ONNX graph: leave it out")
    raw = to.with_name("traced.pt")
    with quiet(), torch.no_grad():
        rows = torch.from_numpy(data.train.rows[:2])
        script: Any = torch.jit  # it has no types
        traced = script.trace(served_network(network, task=data.task), rows, check_trace=False)
        script.save(script.freeze(traced), str(raw))
    _rewrite(raw, to=to)
    raw.unlink()


def load(path: Path) -> torch.jit.ScriptModule:
    """The module in a file of our own: rows -> what clients are answered."""
    import torch

    read: Any = torch.jit.load  # it has no types
    with quiet():
        module: torch.jit.ScriptModule = read(str(path), map_location="cpu")
    return module


def check(path: Path, *, final: Path, data: Dataset) -> Check:
    """How the written file differs from the graph on test rows: many at once, and one alone."""
    import numpy
    import torch

    module, session, rows = load(path), graph.open_session(final), data.test.rows[:_ROWS]

    def difference(part: NDArray[Any]) -> float:
        with torch.no_grad():
            answers = module(torch.from_numpy(part)).numpy()
        wanted = graph.predict(session, part)
        if answers.shape != wanted.shape:
            return float("inf")
        return float(numpy.abs(answers - wanted).max() / max(1.0, float(numpy.abs(wanted).max())))

    return Check(
        "torchScriptMaxDifference",
        max(difference(rows), difference(rows[:1])),
        PARITY_TOLERANCE,
        "the TorchScript differs from the graph: what the network does depends on its rows, which tracing can't follow",
    )


def _rewrite(raw: Path, *, to: Path) -> None:
    """Copy the file with a class name of its own, without notes, dated long ago."""
    with zipfile.ZipFile(raw) as given, zipfile.ZipFile(to, "w") as made:
        code = [name for name in given.namelist() if name.endswith(".py")]
        classes = re.findall(r"^class (\w+)\(Module\):", given.read(code[0]).decode(), re.MULTILINE)
        if len(code) != 1 or len(classes) != 1:
            raise BadSpec("spec.export.formats has TorchScript, and this network is not one module when frozen")
        module = code[0].partition("/code/")[2].removesuffix(".py").replace("/", ".")
        names = [
            (f"{module}.{classes[0]}", f"{_MODULE}.{_CLASS}"),
            (f"class {classes[0]}(Module)", f"class {_CLASS}(Module)"),
            (f"c{module}\n{classes[0]}\n", f"c{_MODULE}\n{_CLASS}\n"),
        ]
        for info in given.infolist():
            if _NOTES.fullmatch(info.filename):
                continue
            path = info.filename.partition("/")[2].replace(module.replace(".", "/"), _MODULE.replace(".", "/"))
            entry = zipfile.ZipInfo(f"{_ROOT}/{path}", date_time=_MOMENT)
            with given.open(info) as source, made.open(entry, "w", force_zip64=True) as target:
                if info.filename == code[0] or path == "data.pkl":
                    target.write(_renamed(source.read(), names))
                else:
                    shutil.copyfileobj(source, target)


def _renamed(content: bytes, names: list[tuple[str, str]]) -> bytes:
    for old, new in names:
        content = content.replace(old.encode(), new.encode())
    return content
