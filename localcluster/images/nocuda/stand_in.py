"""Stand-ins for shared libraries that were left out."""

import ctypes
import struct
from collections.abc import Mapping
from pathlib import Path

from localcluster.images.nocuda import elf

_MESSAGE = (
    b"This image was built with CUDA=no and has no CUDA libraries. On a GPU, use one that was built with CUDA=yes.\n"
)
_COMMON = "libnocuda.so"
_ENTRY = "libtorch_python.so"


def complete(libraries: Path) -> list[str]:
    """Write a stand-in into `libraries` for each library that importing PyTorch loads and that is nowhere to be found.

    Returns the names of what was written.
    """
    packages = libraries.parent.parent
    files = {file.name: file for file in (*packages.glob("nvidia/**/*.so*"), *libraries.glob("*.so*"))}
    loaded = _closure(files)
    needed = {name for library in loaded.values() for name in library.needed} - set(loaded)
    system = {name: found for name in sorted(needed) if (found := _load(name))}
    missing = sorted(needed - set(system))
    if not missing:
        return []
    wanted = {name for library in loaded.values() for name in library.imports}
    wanted -= {name for library in loaded.values() for name in library.exports}
    elsewhere = [ctypes.CDLL(None), *system.values()]
    functions = sorted(name for name in wanted if not any(hasattr(library, name) for library in elsewhere))
    # All functions live in one library of another name: the linker stops at a library that is named as the home of a
    # versioned symbol and has that symbol without its version.
    (libraries / _COMMON).write_bytes(elf.write(soname=_COMMON, functions=functions, code=_last_words()))
    for name in missing:
        (libraries / name).write_bytes(elf.write(soname=name, needed=_COMMON))
    return missing


def _closure(files: Mapping[str, Path]) -> Mapping[str, elf.Library]:
    """Return those of the files that are loaded with the first."""
    loaded: dict[str, elf.Library] = {}
    pending = {_ENTRY}
    while pending:
        name = pending.pop()
        loaded[name] = elf.read(files[name])
        pending |= (loaded[name].needed & set(files)) - set(loaded)
    return loaded


def _load(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _last_words() -> bytes:
    """Return machine code that writes the message to standard error and exits with status 70."""
    write = bytes.fromhex("b801000000 bf02000000")  # eax = write, edi = standard error
    leave = bytes.fromhex("0f05 b8e7000000 bf46000000 0f05")  # call; eax = exit_group, edi = 70; call
    length = b"\xba" + struct.pack("<I", len(_MESSAGE))  # edx
    address = b"\x48\x8d\x35" + struct.pack("<i", len(length) + len(leave))  # rsi = what follows the code
    return write + address + length + leave + _MESSAGE
