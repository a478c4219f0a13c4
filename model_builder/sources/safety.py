"""What must not be loaded, by name and by what is in it."""

from __future__ import annotations

import io
import pickletools
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from model_builder.errors import BadData, BadSpec

#: Formats that run code when they are loaded, whatever is said about them.
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".ckpt", ".h5", ".keras", ".npy")
#: Globals that a file of tensors needs. `torch.load` has a list of its own; this one is for the sentence.
_TENSORS = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch.storage", "UntypedStorage"),
}


def check_name(path: str, *, where: str) -> None:
    """Refuse formats that can't be loaded without running what is in them. BadSpec."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _PICKLES:
        raise BadSpec(
            f"{where} names {PurePosixPath(path).name!r}: loading a {suffix} file can run code that somebody put "
            "into it; save the weights as .safetensors, or the model as .onnx"
        )


def nothing_usable(folder: Path, *, uri: str, formats: Sequence[str]) -> BadData:
    """Say what a folder lacks, and whether it only has what we don't touch."""
    unsafe = sorted(path.name for path in folder.rglob("*") if path.suffix.lower() in _PICKLES)
    reason = f"only {unsafe[0]}, which can run code when it is loaded" if unsafe else "nothing of that kind"
    return BadData(f"{uri} should have a file that ends with {', '.join(formats)}, but has {reason}: export it again")


def check_archive(path: Path, *, name: str, limit: int) -> None:
    """Refuse a zip that unpacks to more than it may, or whose entries lead out of it. BadData if it is no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        raise BadData(f"{name} is no readable file of torch ({error}): save it again") from error
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        if ".." in parts or entry.filename.startswith("/"):
            raise BadData(f"{name} has the entry {entry.filename!r}, which leads out of the archive: refused")
    total = sum(entry.file_size for entry in entries)
    if total > limit:
        raise BadData(f"{name} unpacks to {total} bytes, allowed are {limit}: refused as a zip bomb, or raise maxBytes")


def check_pickle(path: Path, *, name: str) -> None:
    """Refuse a file of tensors whose pickle names anything that tensors don't need, and name that.

    Nothing is unpickled: the opcodes are read. It is the first of two locks, and says why; the second one is
    `torch.load(weights_only=True)`.
    """
    try:
        for stream in _pickles(path):
            for module, attribute in _globals(stream):
                tensor_type = (
                    module == "torch" and attribute.endswith(("Storage", "Tensor")) and attribute.isidentifier()
                )
                if (module, attribute) not in _TENSORS and not tensor_type:
                    raise BadData(
                        f"{name} would call {module}.{attribute} when it is loaded, which weights have no need "
                        "of: refused; save the state dict alone, or better as .safetensors"
                    )
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, RuntimeError, IndexError, KeyError) as error:
        raise BadData(f"{name} is no readable file of torch ({str(error)[:200]}): save it again") from error


def _pickles(path: Path) -> Iterator[bytes]:
    if not zipfile.is_zipfile(path):
        yield path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            if entry.endswith(".pkl"):
                yield archive.read(entry)


def _globals(pickled: bytes) -> Iterator[tuple[str, str]]:
    """Module and name of everything a pickle could call. What can't be told from the opcodes is told as unknown."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(io.BytesIO(pickled)):
        if opcode.name in ("GLOBAL", "INST"):
            module, _, attribute = str(argument).partition(" ")
            yield module, attribute
        elif opcode.name == "STACK_GLOBAL":
            module, attribute = strings[-2:] if len(strings) > 1 else ("unknown", "unknown")
            yield module, attribute
        elif opcode.name.startswith("EXT"):
            yield "copyreg", f"extension {argument}"
        elif "UNICODE" in opcode.name or "STRING" in opcode.name:
            strings.append(str(argument))
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else int(str(argument))] = strings[-1] if strings else "unknown"
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            strings.append(memo.get(int(str(argument)), "unknown"))
