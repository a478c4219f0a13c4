"""Decodes plain JSON or YAML values into frozen dataclasses, strictly, with sentences a person can act on.

One decoder serves the spec, the parameters of every pass and the serving configuration, so that a new dataclass
needs no parsing code. Keys are camelCase; a trailing underscore of a field (`pass_`) is dropped. Limits and
descriptions stand beside the type: `Annotated[int, Range(0, 500), "passes over the training rows"]`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union

from model_builder.errors import BadSpec

T = TypeVar("T")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 78


@dataclasses.dataclass(frozen=True)
class Range:
    """Inclusive limits of a number, or of the length of a list."""

    minimum: float
    maximum: float


@dataclasses.dataclass(frozen=True)
class Pattern:
    """What a string must match, and how to say so."""

    regex: str
    meaning: str


def camel(name: str) -> str:
    """The key under which a field appears in JSON."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


def suggest(word: str, known: Iterable[str]) -> str:
    """The end of an error sentence: the nearest known word, and what is known."""
    names = sorted(known)
    near = difflib.get_close_matches(word[:100], names, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"known: {', '.join(names)}"


def decode(cls: type[T], raw: object, *, where: str) -> T:
    """`raw` as an instance of the dataclass `cls`; `where` names the place in error messages."""
    if not isinstance(raw, Mapping):
        raise BadSpec(f"{where} must be a mapping of keys to values, not {_kind(raw)}")
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {camel(field.name): field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in raw:
        if key not in fields:
            raise BadSpec(f"{where}: unknown key {shown(key)}; {suggest(str(key), fields)}")
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in raw:
            values[field.name] = _value(hints[field.name], raw[key], where=f"{where}.{key}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BadSpec(f"{where}: the key {key!r} is missing")
    return cls(**values)


def _value(hint: Any, raw: object, *, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        value = _value(arguments[0], raw, where=where)
        for limit in arguments[1:]:
            check(limit, value, where=where)
        return value
    if origin in (Union, types.UnionType):
        if raw is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), raw, where=where)
    if origin is Literal:
        if raw not in arguments:
            quotes = "" if isinstance(raw, str) else " (put it in quotes)"
            raise BadSpec(f"{where} is {shown(raw)}{quotes}; {suggest(str(shown(raw)), map(str, arguments))}")
        return raw
    if origin is tuple:
        if not isinstance(raw, list):
            raise BadSpec(f"{where} must be a list, not {_kind(raw)}")
        return tuple(_value(arguments[0], item, where=f"{where}[{i}]") for i, item in enumerate(raw))
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast(type, hint), raw, where=where)
    return _scalar(hint, raw, where=where)


def _scalar(hint: Any, raw: object, *, where: str) -> Any:
    if typing.get_origin(hint) is not None:  # a Mapping; of objects: decoded later, by whoever knows its keys
        if not isinstance(raw, Mapping):
            raise BadSpec(f"{where} must be a mapping of keys to values, not {_kind(raw)}")
        _, values = typing.get_args(hint)
        if values is object:
            return dict(raw)
        names = [_scalar(str, key, where=f"a key of {where}") for key in raw]
        return {name: _value(values, raw[name], where=f"{where}.{shown(name)[1:-1]}") for name in names}
    if hint is bool and isinstance(raw, bool):
        return raw
    if hint is int and isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if hint is float and isinstance(raw, int | float) and not isinstance(raw, bool) and _is_finite(raw):
        return float(raw)
    if hint is str and isinstance(raw, str):
        return raw
    wanted = {bool: "true or false", int: "a whole number", float: "a number such as 0.001", str: "a string"}[hint]
    hint_text = " (put it in quotes)" if hint is str else ""
    raise BadSpec(f"{where} must be {wanted}{hint_text}, not {_kind(raw)}")


def check(limit: object, value: Any, *, where: str) -> None:
    """Fail if a value breaks a `Range` or a `Pattern`; anything else that stands beside a type limits nothing."""
    if value is None:
        return
    if isinstance(limit, Range):
        size, what = (len(value), "the number of entries in ") if isinstance(value, tuple | Mapping) else (value, "")
        if not limit.minimum <= size <= limit.maximum:
            raise BadSpec(f"{what}{where} is {shown(size)}; allowed is {limit.minimum:g} to {limit.maximum:g}")
    if isinstance(limit, Pattern) and not re.fullmatch(limit.regex, value):
        raise BadSpec(f"{where} is {shown(value)}; it must be {limit.meaning}")


def shown(value: object) -> str:
    """A value as part of a sentence, cut where it is long."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number with too many digits"
    return text if len(text) < 80 else text[:77] + "..."


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int that is too large for a float
        return False


def _kind(raw: object) -> str:
    if raw is None:
        return "nothing"
    if isinstance(raw, Mapping):
        return "a mapping"
    if isinstance(raw, list):
        return "a list"
    return f"{type(raw).__name__} {shown(raw)}"


def encode(value: Any) -> Any:
    """The inverse of `decode`: plain values with camelCase keys."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {camel(field.name): encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return {key: encode(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def describe(cls: type[object]) -> list[dict[str, Any]]:
    """The fields of a parameter dataclass as data, for `passes --json` and for documentation."""
    hints = typing.get_type_hints(cls, include_extras=True)
    described = []
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        hint = hints[field.name]
        entry: dict[str, Any] = {"name": camel(field.name)}
        limits: tuple[object, ...] = ()
        if typing.get_origin(hint) is Annotated:
            hint, *rest = typing.get_args(hint)
            limits = tuple(rest)
        if typing.get_origin(hint) is Literal:
            entry |= {"type": "str", "choices": list(typing.get_args(hint))}
        else:
            entry["type"] = hint.__name__
        if field.default is not dataclasses.MISSING:
            entry["default"] = field.default
        for limit in limits:
            if isinstance(limit, Range):
                entry |= {"minimum": limit.minimum, "maximum": limit.maximum}
            elif isinstance(limit, str):
                entry["description"] = limit
        described.append(entry)
    return described
