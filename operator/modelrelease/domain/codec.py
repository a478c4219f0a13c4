"""Dataclasses to and from the JSON of the API.

One generic walk instead of a parser per type: snake_case fields are camelCase keys,
enums are their values, times are RFC 3339, durations (fields declared with
`policy.seconds`) are Go-style strings. Absent and null keys take the field's default.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from typing import Any, TypeVar

T = TypeVar("T")
Reader = Callable[[Any, str], Any]  # the JSON value and where it stands -> what it is; raises as `decode`

_UNIT = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PLAIN = frozenset({str, int, float, bool, type(None)})
_PART = re.compile(r"(\d+)(h|ms|m|s)")


class Malformed(ValueError):  # noqa: N818 - named for what it tells, as the other errors of this package are
    """The object does not have the shape the CRD promises; the message names the field."""


def key(field: dataclasses.Field[Any]) -> str:
    """Return the API's name of a dataclass field."""
    if "key" in field.metadata:
        return str(field.metadata["key"])
    head, *rest = field.name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def parse_duration(text: str) -> float:
    """Return the seconds of a Go-style duration such as `90s` or `1h30m`.

    Raises:
        ValueError: the text is not such a duration.

    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 30s, 10m or 1h30m")
    return sum(int(number) * _UNIT[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """Return the shortest Go-style duration of a number of seconds, to the millisecond."""
    whole = round(1000 * seconds)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        number, whole = divmod(whole, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def format_time(moment: datetime) -> str:
    """Return RFC 3339 in UTC with whole seconds, or milliseconds where there are any."""
    text = moment.astimezone(UTC).isoformat(timespec="seconds" if not moment.microsecond else "milliseconds")
    return text.replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Return the moment of an RFC 3339 text."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Field:
    """How one field is read and written: what follows from its declaration alone."""

    name: str
    key: str
    duration: bool
    required: bool
    read: Reader


@cache
def _fields(cls: type) -> tuple[_Field, ...]:
    """Return how the fields of a dataclass are read and written, found out once per class."""
    hints = typing.get_type_hints(cls)
    return tuple(
        _Field(
            name=field.name,
            key=key(field),
            duration=bool(field.metadata.get("duration")),
            required=field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            read=_duration if field.metadata.get("duration") else _reader(hints[field.name]),
        )
        for field in dataclasses.fields(cls)
    )


def decode(cls: type[T], value: object, path: str = "") -> T:
    """Return the dataclass `cls` read from parsed JSON.

    Raises:
        Malformed: a required field is missing or has another type.

    """
    if not isinstance(value, Mapping):
        raise Malformed(f"{path or 'object'}: expected an object, got {value!r}")
    found: dict[str, Any] = {}
    for field in _fields(cls):  # type: ignore[arg-type] # a class is hashable
        raw = value.get(field.key)
        where = f"{path}.{field.key}" if path else field.key
        if raw is None:
            if field.required:
                raise Malformed(f"{where}: is required")
            continue
        try:
            found[field.name] = field.read(raw, where)
        except Malformed:
            raise
        except (TypeError, ValueError) as error:
            raise Malformed(f"{where}: {error}") from error
    return cls(**found)


def _reader(hint: Any) -> Reader:
    """Return what reads a value of this type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return partial(_optional, _reader(next(a for a in args if a is not type(None))))
    if origin is tuple:
        return partial(_list, _reader(args[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping
    if dataclasses.is_dataclass(hint):
        return partial(decode, hint)  # type: ignore[arg-type] # a class, not an instance
    if hint is datetime:
        return _time
    if issubclass(hint, StrEnum):
        return lambda raw, _where: hint(raw)
    return partial(_scalar, hint)


def _duration(raw: Any, _where: str) -> float:
    return parse_duration(str(raw))


def _time(raw: Any, where: str) -> datetime:
    return parse_time(_scalar(str, raw, where))


def _list(read: Reader, raw: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        raise Malformed(f"{where}: expected a list, got {raw!r}")
    return tuple(read(item, f"{where}[{i}]") for i, item in enumerate(raw))


def _optional(read: Reader, raw: Any, where: str) -> Any:
    return None if raw is None else read(raw, where)


def _mapping(raw: Any, where: str) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise Malformed(f"{where}: expected an object, got {raw!r}")
    return dict(raw)


def _scalar(hint: type, raw: Any, where: str) -> Any:
    if hint is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    if hint in (str, int, bool) and type(raw) is hint:
        return raw
    raise Malformed(f"{where}: expected {hint.__name__}, got {raw!r}")


def encode(value: Any) -> Any:
    """Return the JSON of a dataclass; fields that are None or empty are left out."""
    kind: type = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {k: encode(v) for k, v in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    out = {}
    for field in _fields(kind):
        item = getattr(value, field.name)
        if item is None or item == () or item == {}:
            continue
        out[field.key] = format_duration(item) if field.duration else encode(item)
    return out
