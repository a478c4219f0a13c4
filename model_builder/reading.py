"""Reads a spec from a file or the environment: JSON or YAML, of bounded size and without YAML's traps."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from model_builder.errors import BadSpec

#: How a build Job gets its spec, which needs no volume then.
VARIABLE = "env:"
_LARGEST = 256 * 1024


def read(source: str) -> object:
    """The values written in a spec file, or with `env:NAME` in a variable of the environment, as JSON.

    Raises:
        BadSpec: it can't be read or parsed, is larger than 256 KiB, or gives a key twice.
    """
    text = _text(source)
    if len(text) > _LARGEST:
        raise BadSpec(f"the spec {source} has {len(text)} characters; allowed are {_LARGEST}: is it the right file?")
    if source.endswith(".json") or source.startswith(VARIABLE):
        return _json(text, name=source)
    return _yaml(text, name=source)


def _text(source: str) -> str:
    if source.startswith(VARIABLE):
        text = os.environ.get(source.removeprefix(VARIABLE))
        if text is None:
            raise BadSpec(f"the spec can't be read: {source.removeprefix(VARIABLE)} is not set in the environment")
        return text
    try:
        with Path(source).open(encoding="utf-8") as stream:
            return stream.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no name that a file can have
        raise BadSpec(f"the spec {source} can't be read: {error}") from error


def _json(text: str, *, name: str) -> object:
    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _refuse_twice((key for key, _ in pairs), name=name)
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=mapping)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise BadSpec(f"the spec {name} is not valid JSON: {error}") from error


def _yaml(text: str, *, name: str) -> object:
    import yaml  # not in the image that pulls

    class Loader(yaml.SafeLoader):
        """Without aliases: a few of them can stand for more values than fit into memory."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise BadSpec(f"the spec {name} uses a YAML alias (*name): write the value out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's
            if isinstance(node, yaml.MappingNode):
                _refuse_twice((key.value for key, _ in node.value if isinstance(key.value, str)), name=name)
            found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
            return found

    try:
        return yaml.load(text, Loader)  # noqa: S506 - a subclass of SafeLoader
    # Besides its own errors, PyYAML lets those of int() and datetime() through.
    except (yaml.YAMLError, ValueError, RecursionError, ArithmeticError, AttributeError, TypeError) as error:
        raise BadSpec(f"the spec {name} is not valid YAML: {' '.join(str(error).split())}") from error


def _refuse_twice(keys: Iterable[str], *, name: str) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise BadSpec(f"the spec {name} gives the key {key!r} twice: remove one")
        seen.add(key)
