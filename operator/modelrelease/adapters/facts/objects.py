"""Reading objects that may lack any part: small accessors that never raise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]


def part(obj: Object, *path: str) -> Object:
    """Return a nested object, empty where it is absent."""
    for name in path:
        obj = obj.get(name) or {}
    return obj


def items(obj: Object, *path: str) -> list[Object]:
    """Return a nested list of objects, empty where it is absent."""
    return list(part(obj, *path[:-1]).get(path[-1]) or [])


def condition(obj: Object, kind: str) -> Object:
    """Return one of the object's conditions, empty where it has none of that type."""
    return find(items(obj, "status", "conditions"), kind)


def find(conditions: Iterable[Object], kind: str) -> Object:
    """Return the condition of a type, empty where there is none."""
    return next((c for c in conditions if c.get("type") == kind), {})


def labels(obj: Object) -> Object:
    """Return the object's labels."""
    return part(obj, "metadata", "labels")


def newest(objects: Iterable[Object]) -> list[Object]:
    """Return the objects, the youngest first; of one second, by name, so that the order is stable."""
    return sorted(
        objects, key=lambda o: (o["metadata"].get("creationTimestamp", ""), o["metadata"]["name"]), reverse=True
    )


def sentence(text: str, limit: int = 400) -> str:
    """Return a message of someone else as one bounded line without a full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= limit else line[: limit - 1] + "…"
