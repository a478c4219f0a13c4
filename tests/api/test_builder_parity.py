"""A release can say what the builder can read: the same fields, words, limits and defaults on both sides."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import pytest
import yaml
from modelrelease.domain import codec
from modelrelease.domain.spec import Spec

from model_builder import audit, data, passes, sources, spec, triton
from model_builder.decode import Pattern, Range, camel
from tests.api.build_cases import BUILD_ACCEPTED, BUILD_REFUSED, EVERYTHING
from tests.api.case import ROOT, SAMPLES, Case
from tests.render import samples

CRD = yaml.safe_load((ROOT / "crds" / "modelreleases.yaml").read_text())
SPEC = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
BUILD = SPEC["build"]["properties"]
SIDES: Mapping[str, tuple[type, Mapping[str, Any]]] = {
    "source": (sources.Source, SPEC["model"]["properties"]["source"]),
    "data": (data.Data, BUILD["evaluation"]["properties"]["data"]),
    "audit": (spec.AuditStep, BUILD["audit"]["items"]),
    "export": (spec.Export, BUILD["export"]),
}
ONLY_IN_A_RELEASE = {"source.secretRef", "data.secretRef"}  # credentials become variables of the Job
ONLY_IN_THE_BUILDER = {
    "source.maxBytes",  # 64 GiB are more than the disk of most nodes
    "export.serving",  # the operator says it when the artifact is pulled
}


@dataclasses.dataclass(frozen=True)
class Field:
    """One field on both sides: its type in the builder, its limits there, its default, its schema."""

    path: str
    hint: Any
    limits: tuple[object, ...]
    default: Any
    node: Mapping[str, Any]


def plain(hint: Any) -> tuple[Any, tuple[object, ...]]:
    """A type without None and `Annotated`, and what stood beside it."""
    limits: tuple[object, ...] = ()
    while True:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is Annotated:
            hint, limits = arguments[0], limits + arguments[1:]
        elif origin in (Union, types.UnionType):
            hint = next(argument for argument in arguments if argument is not type(None))
        else:
            return hint, limits


def names(cls: type, node: Mapping[str, Any], path: str) -> Iterator[tuple[str, set[str], set[str]]]:
    """(path, names in the builder, names in the CRD) of an object and of those in it."""
    known = {camel(field.name) for field in dataclasses.fields(cls)}
    yield path, known, set(node["properties"])
    for field in fields(cls, node, path, deep=False):
        if dataclasses.is_dataclass(field.hint):
            yield from names(typing.cast(type, field.hint), field.node, field.path)


def fields(cls: type, node: Mapping[str, Any], path: str, *, deep: bool = True) -> Iterator[Field]:
    """The fields that both sides have."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        name = camel(field.name)
        if name not in node["properties"]:
            continue
        hint, limits = plain(hints[field.name])
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        yield Field(f"{path}.{name}", hint, limits, default, node["properties"][name])
        if deep and dataclasses.is_dataclass(hint):
            yield from fields(typing.cast(type, hint), node["properties"][name], f"{path}.{name}")


FIELDS = [field for name, (cls, node) in SIDES.items() for field in fields(cls, node, name)]


def test_both_sides_have_the_same_fields() -> None:
    sides = [each for name, (cls, node) in SIDES.items() for each in names(cls, node, name)]
    assert {f"{path}.{name}" for path, known, said in sides for name in known - said} == ONLY_IN_THE_BUILDER
    assert {f"{path}.{name}" for path, known, said in sides for name in said - known} == ONLY_IN_A_RELEASE
    assert len(sides) == 10


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
def test_words_limits_and_defaults_are_the_builder_s(field: Field) -> None:
    node, hint = field.node, field.hint
    if typing.get_origin(hint) is tuple:
        (item, *_), node = typing.get_args(hint), node["items"]
        hint, _ = plain(item)
        assert field.node["type"] == "array"
    if typing.get_origin(hint) is Literal:
        assert node["enum"] == list(typing.get_args(hint))
    else:
        kinds = {str: "string", int: "integer", float: "number", bool: "boolean"}
        assert node["type"] == kinds.get(hint, "object")
    for limit in (limit for limit in field.limits if isinstance(limit, Range)):
        least, most = ("minItems", "maxItems") if field.node["type"] == "array" else ("minimum", "maximum")
        assert (field.node.get(least, 0), field.node[most]) == (limit.minimum, limit.maximum)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
def test_what_a_release_leaves_out_is_what_the_builder_takes(field: Field) -> None:
    if "default" in field.node:
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        assert field.node["default"] == default
    elif isinstance(field.default, str | int):
        assert field.node["description"].endswith((f"Absent means {field.default}.", " 8 GiB."))
        assert str(field.default) in field.node["description"]
    else:
        nothing = field.default in (None, (), {}, dataclasses.MISSING)
        assert nothing or field.default == type(field.default)()


@pytest.mark.parametrize("case", BUILD_ACCEPTED, ids=lambda case: case.id)
def test_the_builder_takes_what_the_api_takes(case: Case) -> None:
    built = spec.resolve(samples.handed_over(codec.decode(Spec, case.object()["spec"], "spec")))
    assert built.spec.model.name == "digits"


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_builder_takes_the_samples(path: Path) -> None:
    release = yaml.safe_load(path.read_text())
    spec.resolve(samples.handed_over(codec.decode(Spec, release["spec"], "spec")))


def set_paths(value: Any, path: str) -> Iterator[str]:
    yield path
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from set_paths(child, f"{path}.{name}")
    elif isinstance(value, list):
        for child in value:
            yield from set_paths(child, f"{path}[]")


def paths(node: Mapping[str, Any], path: str) -> Iterator[str]:
    yield path
    for name, child in node.get("properties", {}).items():
        yield from paths(child, f"{path}.{name}")


def test_the_cases_say_every_field_there_is() -> None:
    roots = {"source": "spec.model.source", "data": "spec.build.evaluation.data", "export": "spec.build.export"}
    said = {
        path
        for change in EVERYTHING.values()
        for name, root in roots.items()
        for path in set_paths(change.get(root, {}), name)
    }
    assert {path for name in roots for path in paths(SIDES[name][1], name)} <= said
    assert any("parameters" in step for change in EVERYTHING.values() for step in change.get("spec.build.audit", ()))


@pytest.mark.parametrize("name", EVERYTHING)
def test_what_a_release_says_arrives_word_for_word(name: str) -> None:
    release = codec.decode(Spec, Case("", EVERYTHING[name]).object()["spec"], "spec")
    handed = samples.handed_over(release)
    for said, got in (
        (codec.encode(release.model.source), handed.source),
        (codec.encode(release.build.evaluation.data), handed.data),
        (codec.encode(release.build.export), handed.export),
        (codec.encode(release.build.audit), handed.audit),
    ):
        assert_says(got, said)


def assert_says(got: Any, said: Any) -> None:
    """Whether a section of the builder's spec has what the release says of it; credentials never arrive."""
    if dataclasses.is_dataclass(got) and said is not None:
        mine = {camel(field.name): getattr(got, field.name) for field in dataclasses.fields(got)}
        assert set(said) - {"secretRef"} <= set(mine)
        for key in set(said) - {"secretRef"}:
            assert_says(mine[key], said[key])
    elif isinstance(got, tuple):
        assert len(got) == len(said or ())
        for mine, theirs in zip(got, said or (), strict=True):
            assert_says(mine, theirs)
    elif said is not None:
        assert got == said


#: Refused since it would have no effect or is no concern of the builder.
STRICTER = {
    "column-twice",
    "no-columns",
    "audit-twice",
    "two-networks",
    "head-of-a-graph",  # the builder finds it out when it has fetched the file
    "code-for-a-program",
    "secret-for-built-in-data",
    "secret-for-files",
    "pytorch-without-torch-script",
    "pytorch-without-that-format",
}


def test_the_api_forbids_nothing_that_the_builder_could_do() -> None:
    taken = set()
    for case in BUILD_REFUSED:
        try:
            spec.resolve(samples.handed_over(codec.decode(Spec, case.object()["spec"], "spec")))
            taken.add(case.id)
        except (codec.Malformed, spec.BadSpec):
            continue
    assert taken == STRICTER


NAMES = ("a", "Z9", "_x", "9a", "a.b", "a-b", "a b", "", "a/b", "ä", "net:make", "a.b:c", "a:b:c", "a:9", ":a", "a:")
PATHS = ("a", "a.py", "b/a.py", "/a.py", "../a.py", "b/../a.py", "b/..", "..", "...", "a..b", ".py", "b/.py", "a.pyc")


@pytest.mark.parametrize(
    ("cls", "field", "node", "texts"),
    [
        (data.Data, "name", BUILD["evaluation"]["properties"]["data"]["properties"]["name"], NAMES),
        *(
            (
                sources.base.Code,
                field,
                SPEC["model"]["properties"]["source"]["properties"]["code"]["properties"][key],
                t,
            )
            for field, key, t in (
                ("factory", "factory", NAMES),
                ("input_name", "inputName", NAMES),
                ("output_name", "outputName", NAMES),
                ("path", "path", PATHS),
            )
        ),
        (sources.Source, "file", SPEC["model"]["properties"]["source"]["properties"]["file"], PATHS),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_names_and_paths_are_those_of_the_builder(cls: type, field: str, node: Any, texts: tuple[str, ...]) -> None:
    _, limits = plain(typing.get_type_hints(cls, include_extras=True)[field])
    (pattern,) = (limit for limit in limits if isinstance(limit, Pattern))
    taken = {text for text in texts if re.fullmatch(pattern.regex, text)}
    assert {text for text in texts if allowed(node, text)} == taken
    assert 0 < len(taken) < len(texts)


def allowed(node: Mapping[str, Any], text: str) -> bool:
    """What the rules of a text come to; they use three functions of CEL alone."""
    (rule,) = (entry["rule"] for entry in node["x-kubernetes-validations"])
    found = re.search(r"self\.matches\('(.*?)'\)", rule)
    inside = "startsWith" not in rule or not (text.startswith("/") or "/../" in f"/{text}/")
    return len(text) >= node["minLength"] and inside and (not found or bool(re.search(found[1], text)))


def test_the_backends_are_those_that_the_pull_knows() -> None:
    backend = SPEC["serving"]["properties"]["triton"]["properties"]["backend"]
    assert set(backend["enum"]) == set(typing.get_args(triton.Backend))


def test_every_pass_and_audit_has_a_name_that_can_be_written() -> None:
    steps = {"pass": (passes.REGISTRY, BUILD["recipe"]), "audit": (audit.REGISTRY, BUILD["audit"])}
    for key, (registry, node) in steps.items():
        assert all(allowed(node["items"]["properties"][key], name) for name in registry)
