"""The CRD and the typed models are one API: the same fields, types, defaults and enums, all described and bounded."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml
from modelrelease.domain import codec, naming
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Status

from tests.api.status_sample import STATUS

ROOT = Path(__file__).resolve().parents[2]
CRD = yaml.safe_load((ROOT / "crds" / "modelreleases.yaml").read_text())
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
Schema = Mapping[str, Any]

# Where the model has a default and the schema has none, on purpose.
DEFAULT_ONLY_IN_MODEL = {
    "spec.rollout.steps",  # absent means a planned ladder, which an explicit list must not look like
    "spec.build.evaluation.gates[].against",  # would stand beside a threshold, where it has no meaning
    "spec.rollout.steps[].pause.duration",
}
COLUMNS = ["PHASE", "STEP", "WEIGHT", "VERSION", "STABLE", "WAITING-FOR", "AGE"]
SCALARS: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", datetime: "string"}


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every schema in the tree with its path; list items are `[]`, map values `{}`."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}" if path else name)
    for name, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if name in schema:
            yield from nodes(schema[name], path + suffix)


TREE = dict(nodes(SCHEMA, ""))
OURS = {path: node for path, node in TREE.items() if path.startswith(("spec", "status"))}


def fields(cls: type, schema: Schema, path: str) -> Iterator[tuple[str, type, dataclasses.Field[Any], Any, Schema]]:
    """(path, owner, field, its type without None, its schema) for the dataclass and everything below."""
    assert schema["type"] == "object", path
    known = {codec.key(field): field for field in dataclasses.fields(cls)}
    assert set(schema["properties"]) == set(known), f"{path}: fields of the CRD and of {cls.__name__} differ"
    hints = typing.get_type_hints(cls)
    for name, field in known.items():
        here, node = f"{path}.{name}", schema["properties"][name]
        hint = hints[field.name]
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            hint = next(a for a in typing.get_args(hint) if a is not type(None))
        yield here, cls, field, hint, node
        inner, where = hint, here
        if typing.get_origin(hint) is tuple:
            inner, node, where = typing.get_args(hint)[0], node["items"], here + "[]"
        if dataclasses.is_dataclass(inner):
            yield from fields(typing.cast(type, inner), node, where)


SPEC_FIELDS = list(fields(Spec, SCHEMA["properties"]["spec"], "spec"))
STATUS_FIELDS = list(fields(Status, SCHEMA["properties"]["status"], "status"))
ALL = SPEC_FIELDS + STATUS_FIELDS
PATHS = [path for path, *_ in ALL]


def test_names_agree() -> None:
    names = CRD["spec"]["names"]
    assert (CRD["spec"]["group"], VERSION["name"]) == (naming.GROUP, naming.VERSION)
    assert (names["kind"], names["plural"]) == (naming.KIND, naming.PLURAL)
    assert names["shortNames"] == ["mr"]
    assert names["categories"] == ["models"]


@pytest.mark.parametrize(("path", "field", "hint", "node"), [(p, f, h, n) for p, _, f, h, n in ALL], ids=PATHS)
def test_types_agree(path: str, field: dataclasses.Field[Any], hint: Any, node: Schema) -> None:
    if field.metadata.get("duration"):
        assert node["type"] == "string"
        assert any("duration(self)" in rule["rule"] for rule in node["x-kubernetes-validations"])
    elif typing.get_origin(hint) is tuple:
        assert node["type"] == "array"
        inner, item = typing.get_args(hint)[0], node["items"]
        if issubclass(inner, StrEnum):
            assert item["enum"] == [str(member) for member in inner]
        else:
            assert item["type"] == SCALARS.get(inner, "object")
    elif typing.get_origin(hint) is not None or dataclasses.is_dataclass(hint):
        assert node["type"] == "object"
    elif issubclass(hint, StrEnum):
        assert node["enum"] == [str(member) for member in hint]
    else:
        assert node["type"] == SCALARS[hint]
        assert (node.get("format") == "date-time") == (hint is datetime)


@pytest.mark.parametrize(("path", "field"), [(p, f) for p, _, f, _, _ in ALL], ids=PATHS)
def test_required_fields_agree(path: str, field: dataclasses.Field[Any]) -> None:
    parent, name = path.rsplit(".", 1)
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    assert (name in TREE[parent].get("required", [])) == required


@pytest.mark.parametrize(
    ("path", "field", "node"), [(p, f, n) for p, _, f, _, n in SPEC_FIELDS], ids=PATHS[: len(SPEC_FIELDS)]
)
def test_defaults_agree(path: str, field: dataclasses.Field[Any], node: Schema) -> None:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if path in DEFAULT_ONLY_IN_MODEL or default is dataclasses.MISSING or default is None:
        assert "default" not in node
    elif field.metadata.get("duration"):
        assert codec.parse_duration(node["default"]) == default
    elif dataclasses.is_dataclass(default):
        assert node["default"] == {}
    elif isinstance(default, tuple):
        assert node["default"] == list(default)
    else:
        assert node["default"] == default
        assert type(node["default"]) is type(default) or isinstance(default, StrEnum)


def test_no_defaults_in_status() -> None:
    assert not [path for path, node in OURS.items() if path.startswith("status") and "default" in node]


def test_every_field_is_described() -> None:
    scalars = {path for path, node in OURS.items() if path.endswith(("[]", "{}")) and node.get("type") != "object"}
    described = [path for path in OURS if path not in scalars]  # the list says what its scalars are
    terse = [path for path in described if len(OURS[path].get("description", "").split()) < 2]
    assert not terse
    assert not [path for path in described if not OURS[path]["description"].endswith(".")]


def unbounded(node: Schema) -> bool:
    """Whether a value could be arbitrarily large."""
    kind = node.get("type")
    if node.get("x-kubernetes-int-or-string") or kind == "string":
        return "maxLength" not in node and "enum" not in node
    if kind in ("integer", "number"):
        return not {"minimum", "maximum"} <= node.keys()
    if kind == "array":
        return not {"maxItems", "x-kubernetes-list-type"} <= node.keys()
    if kind == "object" and ("additionalProperties" in node or "properties" not in node):
        return "maxProperties" not in node
    return False


def test_everything_is_bounded() -> None:
    assert not [path for path, node in OURS.items() if unbounded(node)]


def test_list_types() -> None:
    kinds = {path: node["x-kubernetes-list-type"] for path, node in OURS.items() if node.get("type") == "array"}
    assert kinds["spec.rollout.steps"] == kinds["spec.serving.tolerations"] == kinds["status.history"] == "atomic"
    assert kinds["status.conditions"] == "map"
    assert TREE["status.conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert TREE["status.history"]["maxItems"] == 20


def test_unknown_fields_are_kept_only_in_parameters_that_the_builder_knows() -> None:
    kept = {path for path, node in TREE.items() if "x-kubernetes-preserve-unknown-fields" in node}
    assert kept == {
        "spec.model.source.parameters",
        "spec.model.source.code.parameters",
        "spec.build.recipe[].parameters",
        "spec.build.audit[].parameters",
    }


def test_every_rule_has_a_message_that_is_a_sentence() -> None:
    rules = [rule for node in TREE.values() for rule in node.get("x-kubernetes-validations", ())]
    assert len(rules) >= 40
    for rule in rules:
        assert len(rule["message"].split()) >= 6, rule["message"]


def test_columns() -> None:
    columns = VERSION["additionalPrinterColumns"]
    assert [column["name"].upper() for column in columns] == COLUMNS
    for column in columns[:-1]:
        assert TREE[column["jsonPath"].removeprefix(".")]["type"] == column["type"]
    assert columns[2]["jsonPath"] == ".status.candidate.weight.accepted"


def set_paths(value: Any, path: str) -> Iterator[str]:
    """The schema paths that a value sets."""
    yield path
    if isinstance(value, dict):
        for name, child in value.items():
            yield from set_paths(child, f"{path}.{name}")
    elif isinstance(value, list):
        for child in value:
            yield from set_paths(child, f"{path}[]")


def test_the_status_sample_sets_every_field_and_survives_the_models() -> None:
    assert set(set_paths(STATUS, "status")) == {path for path in OURS if path.startswith("status")}
    assert codec.encode(codec.decode(Status, STATUS)) == STATUS
