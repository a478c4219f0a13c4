"""`modelrelease lint`: what is wrong with the ModelReleases of a file, in sentences that name the field.

Offline it checks names, types, bounds and rules as the CRD does; an API server, where one
can be asked, has the last word.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from modelrelease.cli import bounds, rules
from modelrelease.cli.errors import CommandError
from modelrelease.domain import codec
from modelrelease.domain.naming import GROUP, KIND, VERSION
from modelrelease.domain.spec import Spec

Judge = Callable[[Mapping[str, Any]], str | None]


def lint(text: str, *, judge: Judge | None = None) -> Iterator[str]:
    """Yield what is wrong with the ModelReleases in a YAML text; objects of other kinds are passed over.

    `judge` asks an API server about an object without finding offline.
    """
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        yield f"not YAML: {' '.join(str(error).split())}"
        return
    releases = [d for d in documents if isinstance(d, Mapping) and d.get("kind") == KIND]
    if not releases:
        yield f"holds no {KIND}"
    for release in releases:
        name = _name(release)
        found = list(_offline(release))
        if not found and judge is not None:
            found = list(_ask(judge, release))
        yield from (f"{name}: {finding}" for finding in found)


def _name(release: Mapping[str, Any]) -> str:
    meta = release.get("metadata")
    return str(meta.get("name", "(no name)")) if isinstance(meta, Mapping) else "(no name)"


def _offline(release: Mapping[str, Any]) -> Iterator[str]:
    if release.get("apiVersion") != f"{GROUP}/{VERSION}":
        yield f"apiVersion is {release.get('apiVersion')!r}: write {GROUP}/{VERSION}"
    meta = release.get("metadata")
    if not isinstance(meta, Mapping) or not meta.get("name"):
        yield "metadata.name: is required"
    else:
        yield from rules.name(str(meta["name"]))
    spec = release.get("spec")
    yield from unknown(Spec, spec, "spec")
    yield from bounds.check(spec)
    try:
        typed = codec.decode(Spec, spec, "spec")
    except codec.Malformed as error:
        yield str(error)
        return
    yield from rules.check(typed)


def _ask(judge: Judge, release: Mapping[str, Any]) -> Iterator[str]:
    try:
        objection = judge(release)
    except CommandError as error:
        yield f"the API server could not judge it: {error} (--offline leaves it out)"
        return
    if objection is not None:
        yield objection


def unknown(cls: type, value: object, path: str) -> Iterator[str]:
    """Yield the fields that the API does not know, with the likely one meant."""
    if not isinstance(value, Mapping):
        return
    known = {codec.key(field): field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    for name, child in value.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            help_ = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
            yield f"{path}.{name}: no such field; {help_}"
            continue
        inner = _dataclass_in(hints[known[name].name])
        if inner is None:
            continue
        if isinstance(child, list):
            for index, item in enumerate(child):
                yield from unknown(inner, item, f"{path}.{name}[{index}]")
        else:
            yield from unknown(inner, child, f"{path}.{name}")


def _dataclass_in(hint: Any) -> type | None:
    """Return the dataclass in `X`, `X | None` or `tuple[X, ...]`, if there is one."""
    if dataclasses.is_dataclass(hint):
        return typing.cast(type, hint)
    return next((found for arg in typing.get_args(hint) if (found := _dataclass_in(arg)) is not None), None)
