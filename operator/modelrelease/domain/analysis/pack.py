"""The state between looks as text: a version, the names of lanes and classes, and doubles in base64.

Doubles are kept to the last bit, so that a restart at any block changes nothing. The names come
with them, so that an edited policy finds the lanes it still has and begins the others anew.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from urllib.parse import quote, unquote

import numpy

from modelrelease.domain.analysis.drift import Classes
from modelrelease.domain.analysis.kernel import Array
from modelrelease.domain.analysis.lanes import Memory, fresh
from modelrelease.domain.analysis.paired import Paired

VERSION = "1"
MIRRORED = "~"  # before the name of a lane of mirrored requests
TALLY = 5  # x_s, n_s, x_c, n_c, blocks
_SCALARS = 10
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
    paired: Paired = field(default_factory=Paired)
    classes: Classes = field(default_factory=Classes)


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
    classes = carried.classes
    scalars = (carried.excess, *carried.split, carried.history, *astuple(carried.paired), classes.log_e)
    parts = [numpy.array(scalars), numpy.array([*classes.counts.values()]).ravel()]
    parts += [getattr(carried.memory, each.name).ravel() for each in fields(Memory)]
    parts += [carried.tally.ravel(), carried.proven.ravel()]
    data = numpy.concatenate(parts).astype("<f8").tobytes()
    names = (",".join(map(quote, group)) for group in (carried.names, classes.counts))
    return ".".join((VERSION, ";".join(names), base64.b64encode(zlib.compress(data, 9)).decode()))


def unpack(text: str) -> Carried:
    """Return the state behind a text; raises ValueError with a sentence where it is none."""
    version, _, rest = text.partition(".")
    if version != VERSION:
        raise ValueError(f"the analysis state has version {version[:8]!r}: this operator reads {VERSION}")
    joined, _, code = rest.rpartition(".")
    names, labels = (tuple(unquote(name) for name in part.split(",") if name) for part in (*joined.split(";"), "")[:2])
    try:
        unzip = zlib.decompressobj()
        data = numpy.frombuffer(unzip.decompress(base64.b64decode(code, validate=True), _MOST), dtype="<f8").astype(
            float
        )
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"the analysis state can't be read ({error})") from None
    like = empty(names)
    shapes = [(_SCALARS,), (len(labels), 2)]
    shapes += [getattr(like.memory, each.name).shape for each in fields(Memory)]
    shapes += [like.tally.shape, like.proven.shape]
    sizes = [math.prod(shape) for shape in shapes]
    if data.size != sum(sizes) or not numpy.isfinite(data).all():
        raise ValueError("the analysis state does not fit its lanes")
    cuts = numpy.split(data, numpy.cumsum(sizes)[:-1])
    scalars, counts, *arrays = (cut.reshape(shape) for cut, shape in zip(cuts, shapes, strict=True))
    memory = Memory(**{each.name: array for each, array in zip(fields(Memory), arrays, strict=False)})
    excess, candidate, stable, history, *paired, log_e = scalars.tolist()
    by_class = {label: (s, c) for label, (s, c) in zip(labels, counts.tolist(), strict=True)}
    return Carried(
        names=names,
        memory=memory,
        tally=arrays[-2],
        proven=arrays[-1],
        excess=excess,
        split=(candidate, stable),
        history=history,
        paired=Paired(*paired),
        classes=Classes(counts=by_class, log_e=log_e),
    )


def fitted(carried: Carried, names: Sequence[str]) -> Carried:
    """Return the state with exactly these lanes: those it has, and fresh ones with phi of at least 2 for the rest."""
    if tuple(names) == carried.names:
        return carried
    other = empty(names, floor=2.0)
    places = [(new, carried.names.index(name)) for new, name in enumerate(names) if name in carried.names]
    memory = other.memory
    for each in fields(Memory):
        array = getattr(memory, each.name).copy()
        for new, old in places:
            array[new] = getattr(carried.memory, each.name)[old]
        memory = replace(memory, **{each.name: array})
    tally, proven = other.tally.copy(), other.proven.copy()
    for new, old in places:
        tally[new], proven[new] = carried.tally[old], carried.proven[old]
    return replace(carried, names=tuple(names), memory=memory, tally=tally, proven=proven)
