"""Reads the metrics of a build, from its answer and from the record of a revision."""

from __future__ import annotations

from collections.abc import Mapping

from modelrelease.domain import codec
from modelrelease.domain.observed import Metric

#: How many numbers a list of evidence may have; none is the record of an older builder.
_LENGTHS: Mapping[str, tuple[int, ...]] = {"bounds": (0, 2, 4), "source": (0, 4, 6), "stable": (0, 4, 6)}


def metrics(raw: object, where: str) -> dict[str, Metric]:
    """Return the metrics by name.

    Raises:
        Malformed: they are not what a builder writes; the message names the place, which begins with `where`.
    """
    if not isinstance(raw, Mapping):
        raise codec.Malformed(f"{where}: is required and must be an object, got {raw!r}")
    return {str(name): _metric(value, f"{where}.{name}") for name, value in raw.items()}


def _metric(raw: object, where: str) -> Metric:
    metric = codec.decode(Metric, raw, where)
    for name, lengths in _LENGTHS.items():
        found = len(getattr(metric, name))
        if found not in lengths:
            allowed = ", ".join(map(str, lengths[1:]))
            raise codec.Malformed(f"{where}.{name}: has {found} numbers, allowed are {allowed}")
    return metric
