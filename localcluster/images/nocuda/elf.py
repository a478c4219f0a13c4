"""The little of ELF that stand-ins need: read what a library imports and exports, write one that only exports."""

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNAMIC = struct.Struct("<QQ")
_SHT_DYNAMIC, _SHT_DYNSYM = 6, 11
_DT_NULL, _DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB = 0, 1, 4, 5, 6
_DT_STRSZ, _DT_SYMENT, _DT_SONAME, _DT_RUNPATH = 10, 11, 14, 29
_GLOBAL_FUNCTION = 0x12
_BINDING_LOCAL, _BINDING_WEAK = 0, 2


@dataclass(frozen=True)
class Library:
    """What the dynamic linker sees of one shared library."""

    needed: frozenset[str]
    """Names of the libraries that it links to."""
    imports: frozenset[str]
    """Symbols that it must find elsewhere; weak ones may be missing and are not listed."""
    exports: frozenset[str]
    """Symbols that it defines."""


def read(path: Path) -> Library:
    """Read the dynamic tables of the x86-64 shared library at `path`."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = _HEADER.unpack_from(data)
        at, size, count = header[6], header[11], header[12]
        sections = [_SECTION.unpack_from(data, at + size * index) for index in range(count)]
        needed: set[str] = set()
        imports: set[str] = set()
        exports: set[str] = set()
        for section in sections:
            kind, offset, length, link = section[1], section[4], section[5], section[6]
            if kind not in (_SHT_DYNAMIC, _SHT_DYNSYM):
                continue
            strings = data[sections[link][4] : sections[link][4] + sections[link][5]]
            body = data[offset : offset + length]
            if kind == _SHT_DYNAMIC:
                needed.update(_text(strings, value) for tag, value in _DYNAMIC.iter_unpack(body) if tag == _DT_NEEDED)
            else:
                for name, info, _, where, _, _ in _SYMBOL.iter_unpack(body):
                    if where:
                        exports.add(_text(strings, name))
                    elif info >> 4 not in (_BINDING_LOCAL, _BINDING_WEAK):
                        imports.add(_text(strings, name))
    return Library(needed=frozenset(needed), imports=frozenset(imports), exports=frozenset(exports))


def write(*, soname: str, needed: str | None = None, functions: Sequence[str] = (), code: bytes = b"") -> bytes:
    """Return an x86-64 shared library named `soname` whose `functions` all start the same machine `code`.

    It links to the library `needed` in its own folder.
    """
    offsets, strings = _string_table([soname, "$ORIGIN", needed or "", *functions])
    code_at = _HEADER.size + 3 * _SEGMENT.size
    symbols_at = _aligned(code_at + len(code))
    symbols = _SYMBOL.pack(0, 0, 0, 0, 0, 0) + b"".join(
        _SYMBOL.pack(offset, _GLOBAL_FUNCTION, 0, 1, code_at, len(code)) for offset in offsets[3:]
    )
    hash_at = symbols_at + len(symbols)
    table = _hash_table(functions)
    strings_at = hash_at + len(table)
    dynamic_at = _aligned(strings_at + len(strings))
    entries = (
        *([(_DT_NEEDED, offsets[2])] if needed else []),
        (_DT_SONAME, offsets[0]),
        (_DT_RUNPATH, offsets[1]),
        (_DT_HASH, hash_at),
        (_DT_STRTAB, strings_at),
        (_DT_SYMTAB, symbols_at),
        (_DT_STRSZ, len(strings)),
        (_DT_SYMENT, _SYMBOL.size),
        (_DT_NULL, 0),
    )
    dynamic = b"".join(_DYNAMIC.pack(tag, value) for tag, value in entries)
    body = code.ljust(symbols_at - code_at, b"\0") + symbols + table + strings
    return _headers(dynamic_at=dynamic_at, dynamic=len(dynamic)) + body.ljust(dynamic_at - code_at, b"\0") + dynamic


def _headers(*, dynamic_at: int, dynamic: int) -> bytes:
    """Return the file header and three segments: what is read and run, the dynamic table, and where that table is."""
    page = 0x1000
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = _HEADER.pack(ident, 3, 62, 1, 0, _HEADER.size, 0, 0, _HEADER.size, _SEGMENT.size, 3, _SECTION.size, 0, 0)
    # The same file offset one page further up in memory: the linker writes into the dynamic table, never into the code.
    address = dynamic_at + page * (dynamic_at // page + 2)
    return (
        header
        + _SEGMENT.pack(1, 5, 0, 0, 0, dynamic_at, dynamic_at, page)
        + _SEGMENT.pack(1, 6, dynamic_at, address, address, dynamic, dynamic, page)
        + _SEGMENT.pack(2, 6, dynamic_at, address, address, dynamic, dynamic, 8)
    )


def _string_table(names: Sequence[str]) -> tuple[list[int], bytes]:
    offsets, table = [], bytearray(b"\0")
    for name in names:
        offsets.append(len(table))
        table += name.encode() + b"\0"
    return offsets, bytes(table)


def _hash_table(names: Sequence[str]) -> bytes:
    """Return the System V hash table of symbols numbered from 1."""
    buckets = [0] * (len(names) or 1)
    chains = [0] * (len(names) + 1)
    for number, name in enumerate(names, start=1):
        bucket = _hash(name) % len(buckets)
        chains[number], buckets[bucket] = buckets[bucket], number
    return struct.pack(f"<{2 + len(buckets) + len(chains)}I", len(buckets), len(chains), *buckets, *chains)


def _hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


def _text(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode()


def _aligned(value: int) -> int:
    return (value + 7) & ~7
