"""Whether a live object lacks something that was rendered, so that at rest nothing is written.

The API server completes what it stores, other managers add to it, and neither is a reason to
write. It mirrors what server-side apply would do: a map may hold more than was rendered, and
so may a list whose elements have keys; a list or map that is replaced as a whole ("atomic")
is exactly as rendered, or somebody edited it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

# Lists that server-side apply merges element by element, with the fields that tell their elements apart.
_KEYED_LISTS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("port", "containerPort", "protocol"),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
_ATOMIC_MAPS = {"selector", "labelSelector", "nodeSelector"}
_QUANTITIES = {"limits", "requests", "sizeLimit"}

# The API server drops these when it stores an object.
_EMPTY: tuple[Any, ...] = (None, "", {}, [])

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)")
_SCALE = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)}
_SCALE |= {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)}
_SCALE |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)}


def differs(*, rendered: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether applying `rendered` would change `live`.

    Type and resourceVersion do not count: a list's items may lack the one, and the other is a
    precondition, not a wish.
    """
    wanted = {key: value for key, value in rendered.items() if key not in ("apiVersion", "kind")}
    wanted["metadata"] = {key: value for key, value in rendered["metadata"].items() if key != "resourceVersion"}
    return not _holds(wanted, live, field="", atomic=False)


def _holds(wanted: Any, live: Any, *, field: str, atomic: bool) -> bool:
    """Tell whether `live`, the value of `field`, has all of `wanted`, and nothing else where it is atomic."""
    if isinstance(wanted, Mapping):
        found = {} if live in _EMPTY else live
        return isinstance(found, Mapping) and _map_holds(wanted, found, field=field, atomic=atomic)
    if isinstance(wanted, list):
        found = [] if live in _EMPTY else live
        return isinstance(found, list) and _list_holds(wanted, found, field=field, atomic=atomic)
    if wanted in _EMPTY:
        return live in _EMPTY
    if field in _QUANTITIES:
        return _amount(wanted) == _amount(live)
    return bool(wanted == live) and isinstance(wanted, bool) == isinstance(live, bool)


def _map_holds(wanted: Mapping[str, Any], live: Mapping[str, Any], *, field: str, atomic: bool) -> bool:
    atomic = atomic or field in _ATOMIC_MAPS
    keys = wanted.keys() | live.keys() if atomic else wanted.keys()
    amounts = field in _QUANTITIES
    return all(_holds(wanted.get(key), live.get(key), field=field if amounts else key, atomic=atomic) for key in keys)


def _list_holds(wanted: list[Any], live: list[Any], *, field: str, atomic: bool) -> bool:
    keys = None if atomic else _KEYED_LISTS.get(field)
    if keys is None:
        return len(wanted) == len(live) and all(
            _holds(mine, theirs, field="", atomic=True) for mine, theirs in zip(wanted, live, strict=True)
        )
    by_key = {tuple(element.get(key) for key in keys): element for element in live}
    return all(
        _holds(element, by_key.get(tuple(element.get(key) for key in keys)), field="", atomic=False)
        for element in wanted
    )


def _amount(quantity: str | int | float) -> Decimal | str:
    """Return a quantity's value, so that 1000m is 1; the text where it is not a quantity."""
    text = str(quantity)
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return text
    number, exponent, unit = found.groups()
    return Decimal(number) * (Decimal(10) ** int(exponent) if exponent else _SCALE[unit or ""])
