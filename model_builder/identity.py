"""What a result depends on beside its inputs: the code that made it, the libraries, the kind of machine.

Standard library only, and nothing is imported to be hashed: a rebuild that changes nothing never loads torch.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).parent
_LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "optuna", "safetensors", "scikit-learn")


@functools.cache
def versions() -> dict[str, str]:
    """Python and the libraries whose arithmetic or file formats end up in an artifact, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def machine() -> dict[str, str | int]:
    """The kind of machine: results may differ in the last bit between kinds of CPU, and where there is a GPU."""
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return {"system": platform.system(), "machine": platform.machine(), "cpu": _cpu(), "gpus": gpus}


def _cpu() -> str:
    """Name and, where /proc tells them, instruction sets: a cloud's CPUs often share one name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = told.get("flags", told.get("Features", ""))
    return f"{told.get('model name', platform.processor())} ({hashlib.sha256(flags.encode()).hexdigest()[:12]})"


@functools.cache
def code_digest(*modules: str) -> str:
    """A hash over the source of modules of this package and of all they import from it, directly or not."""
    closure: set[Path] = set()
    waiting = [file for name in modules for file in _files(name)]
    while waiting:
        file = waiting.pop()
        if file not in closure:
            closure.add(file)
            waiting += [found for name in _imports(file) for found in _files(name)]
    sources = {file.relative_to(_PACKAGE).as_posix(): file.read_bytes() for file in closure}
    return _hash(sources)


@functools.cache
def folder_digest(name: str = "") -> str:
    """A hash over the source in one folder of the package, or of the whole package."""
    files = (_PACKAGE / name).rglob("*.py")
    return _hash({file.relative_to(_PACKAGE).as_posix(): file.read_bytes() for file in files})


def _hash(sources: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, content in sorted(sources.items()):
        whole.update(f"{name}:{len(content)}:".encode() + content)
    return whole.hexdigest()


def _imports(file: Path) -> set[str]:
    """The modules of this package that a file names; `from model_builder import x` may mean a module or a name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("model_builder.")}


def _files(module: str) -> list[Path]:
    """The source of a module, or of all modules of a folder: but not of the registries, which import everything."""
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    if path.with_suffix(".py").is_file():
        return [path.with_suffix(".py")]
    return sorted(path.rglob("*.py")) if path.parent != _PACKAGE else []
