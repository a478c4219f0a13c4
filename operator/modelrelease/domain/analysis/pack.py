"""The state between looks as text: a version, the lanes' names, and doubles in base64.

Doubles are kept to the last bit, so that a restart at any block changes nothing. The names come
with them, so that an edited policy finds the lanes it still has and begins the others anew.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy

from modelrelease.domain.analysis.kernel import Array
from modelrelease.domain.analysis.lanes import Memory, fresh

VERSION = "1"
MIRRORED = "~"  # before the name of a lane of mirrored requests
TALLY = 5  # x_s, n_s, x_c, n_c, blocks
_MOST = 1 << 20  # bytes, unpacked


@dataclass(frozen=True, kw_only=True)
class Carried:
    """Everything that the analysis remembers. `names` are the lanes', live ones before mirrored ones."""

    names: tuple[str, ...]
    memory: Memory
    tally: Array  # (lanes, TALLY): what was counted in this step, for the sentences
    proven: Array  # (lanes,): 1 where a full mirror has proved the candidate within the margin
    excess: float = 0.0  # bad requests beyond what the FAIL line allows
    split: tuple[float, float] = (0.0, 0.0)  # candidate's and stable's requests in this step
    history: float = 0.0  # seconds of stable's history behind the noise


def empty(names: Sequence[str], *, noise: Array | float = 0.0, floor: float = 1.0) -> Carried:
    """Return the state before the first block."""
    count = len(names)
    return Carried(
        names=tuple(names),
        memory=fresh((count,), noise=noise, floor=floor),
        tally=numpy.zeros((count, TALLY)),
        proven=numpy.zeros(count),
    )


def pack(carried: Carried) -> str:
    """Return the state as text."""
    parts = [numpy.array([carried.excess, *carried.split, carried.history])]
    parts += [getattr(carried.memory, field.name).ravel() for field in fields(Memory)]
    parts += [carried.tally.ravel(), carried.proven.ravel()]
    data = numpy.concatenate(parts).astype("<f8").tobytes()
    return ".".join((VERSION, ",".join(carried.names), base64.b64encode(zlib.compress(data, 9)).decode()))


def unpack(text: str) -> Carried:
    """Return the state behind a text; raises ValueError with a sentence where it is none."""
    version, _, rest = text.partition(".")
    if version != VERSION:
        raise ValueError(f"the analysis state has version {version[:8]!r}: this operator reads {VERSION}")
    joined, _, code = rest.rpartition(".")
    names = tuple(joined.split(","))
    try:
        unzip = zlib.decompressobj()
        data = numpy.frombuffer(unzip.decompress(base64.b64decode(code, validate=True), _MOST), dtype="<f8").astype(
            float
        )
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"the analysis state can't be read ({error})") from None
    like = empty(names)
    shapes = [getattr(like.memory, field.name).shape for field in fields(Memory)]
    shapes += [like.tally.shape, like.proven.shape]
    if data.size != 4 + sum(int(numpy.prod(shape)) for shape in shapes) or not numpy.isfinite(data).all():
        raise ValueError("the analysis state does not fit its lanes")
    arrays: list[Array] = []
    at = 4
    for shape in shapes:
        size = int(numpy.prod(shape))
        arrays.append(data[at : at + size].reshape(shape))
        at += size
    memory = Memory(**{field.name: array for field, array in zip(fields(Memory), arrays, strict=False)})
    excess, candidate, stable, history = (float(value) for value in data[:4])
    return Carried(
        names=names,
        memory=memory,
        tally=arrays[-2],
        proven=arrays[-1],
        excess=excess,
        split=(candidate, stable),
        history=history,
    )


def fitted(carried: Carried, names: Sequence[str]) -> Carried:
    """Return the state with exactly these lanes: those it has, and fresh ones with phi of at least 2 for the rest."""
    if tuple(names) == carried.names:
        return carried
    other = empty(names, floor=2.0)
    places = [(new, carried.names.index(name)) for new, name in enumerate(names) if name in carried.names]
    memory = other.memory
    for field in fields(Memory):
        array = getattr(memory, field.name).copy()
        for new, old in places:
            array[new] = getattr(carried.memory, field.name)[old]
        memory = replace(memory, **{field.name: array})
    tally, proven = other.tally.copy(), other.proven.copy()
    for new, old in places:
        tally[new], proven[new] = carried.tally[old], carried.proven[old]
    return replace(carried, names=tuple(names), memory=memory, tally=tally, proven=proven)
