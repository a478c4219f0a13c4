"""Numbers and names as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from model_builder.decode import camel
from model_builder.metrics import METRICS, SOURCE_SUFFIX, STABLE_SUFFIX, Kind, kind_of

#: Suffix of a metric's name -> the model that it belongs to.
MODELS: Mapping[str, str] = {"": "final", SOURCE_SUFFIX: "source", STABLE_SUFFIX: "stable"}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Row:
    """One metric of all models that it was measured on.

    Attributes:
        name: without the model.
        kind: what it is; None for a name that this version does not know.
        by_model: final, source or stable -> its entry in the manifest.
    """

    name: str
    kind: Kind | None
    by_model: Mapping[str, Mapping[str, Any]]


def metric_rows(metrics: Mapping[str, Any]) -> list[Row]:
    """The metrics of a manifest, in the order of `metrics.METRICS`, one row for all models."""
    found: dict[str, dict[str, Any]] = {}
    for name, entry in metrics.items():
        suffix = next((s for s in (SOURCE_SUFFIX, STABLE_SUFFIX) if name.endswith(s)), "")
        found.setdefault(name.removesuffix(suffix), {})[MODELS[suffix]] = entry
    order = {name: place for place, name in enumerate(METRICS)}
    names = sorted(found, key=lambda name: (order.get(name.partition(":")[0], len(order)), name))
    return [Row(name=name, kind=kind_of(name), by_model=found[name]) for name in names]


def number(value: float) -> str:
    """Four digits that matter, and no power of ten for what people count."""
    return f"{value:,.0f}" if isinstance(value, int) or 1000 <= abs(value) < 1e12 else f"{value:.4g}"


def size(count: float) -> str:
    """A number of bytes."""
    for unit in _UNITS[:-1]:
        if abs(count) < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} {_UNITS[-1]}"


def measured(name: str, value: float) -> str:
    """The value of a metric in its unit."""
    base = name.partition(":")[0]
    if base.endswith("Bytes"):
        return size(value)
    return f"{number(value)} ms" if base.endswith("Ms") else number(value)


def bounds(name: str, entry: Mapping[str, Any]) -> str:
    """The exact bounds of a metric, as far as it has them."""
    lower, upper = entry.get("lower"), entry.get("upper")
    if lower is None and upper is None:
        return ""
    if lower is not None and upper is not None:
        return f"{measured(name, lower)} to {measured(name, upper)}"
    told = [("at least", lower), ("at most", upper)]
    return ", ".join(f"{word} {measured(name, value)}" for word, value in told if value is not None)


def parameters(values: Mapping[str, Any]) -> str:
    """Parameters of a pass or an audit under the names that a spec has for them."""
    return phrase({camel(name): value for name, value in values.items()})


def phrase(value: object) -> str:
    """A parameter or another plain value in one line."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {phrase(inner)}" for key, inner in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(phrase(inner) for inner in value) or "-"
    return str(value) or "-"


def reference(uri: str) -> str:
    """A URI that may have been written with blanks and the like, as RFC 3986 wants it."""
    return quote(uri, safe=":/?#[]@!$&'()*+,;=%", errors="replace")


def package(name: str, version: str) -> str:
    """The package URL of a Python package."""
    return f"pkg:pypi/{name.lower().replace('_', '-')}@{quote(version, safe='')}"


def blocked(gates: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why the build kept its artifact back, one sentence per gate; none if it did not."""
    return [str(gate["message"]) for gate in gates if gate["blocks"]]
