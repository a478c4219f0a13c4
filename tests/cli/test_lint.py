"""`lint` finds offline what the API server refuses, and nothing in what it accepts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from modelrelease.cli import bounds
from modelrelease.cli.errors import CommandError
from modelrelease.cli.lint import lint

from tests.api.case import ROOT, SAMPLES, Case, minimal
from tests.api.crd_cases import ACCEPTED, REFUSED

SPEC = yaml.safe_load((ROOT / "crds" / "modelreleases.yaml").read_text())["spec"]["versions"][0]["schema"][
    "openAPIV3Schema"
]["properties"]["spec"]
OPAQUE = ("resources", "tolerations")  # judged by the API server alone


def text(*objects: Mapping[str, Any]) -> str:
    return yaml.safe_dump_all(objects)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.id)
def test_accepted_objects_have_no_finding(case: Case) -> None:
    assert list(lint(text(case.object()))) == []


@pytest.mark.parametrize("case", [c for c in REFUSED if c.offline], ids=lambda case: case.id)
def test_refused_objects_have_a_finding(case: Case) -> None:
    found = list(lint(text(case.object())))
    assert found
    assert all(": " in finding for finding in found)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_samples_have_no_finding(path: Any) -> None:
    assert list(lint(path.read_text())) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("spec.rollout.stpes", "digits: spec.rollout.stpes: no such field; did you mean steps?"),
        ("spec.trafic", "digits: spec.trafic: no such field; did you mean traffic?"),
    ],
)
def test_a_misspelt_field_names_the_one_meant(change: str, says: str) -> None:
    assert says in list(lint(text(Case("", {change: {}}).object())))


def test_every_mistake_is_told_at_once() -> None:
    steps = [{"weight": 5, "pause": {}}, {"weight": 5}, {"weight": 100}]
    case = Case("", {"spec.rollout": {"steps": steps, "bake": {"duration": "721h"}}, "metadata.name": "A.b"})
    found = " | ".join(lint(text(case.object())))
    for part in ("metadata.name", "steps[0].pause", "steps[1].weight", "steps[2].weight", "bake.duration"):
        assert part in found


def test_other_kinds_are_passed_over_and_none_at_all_is_told() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    assert list(lint(text(config, minimal()))) == []
    assert list(lint(text(config))) == ["holds no ModelRelease"]
    assert list(lint("")) == ["holds no ModelRelease"]


def test_what_is_no_yaml_is_one_sentence() -> None:
    (found,) = lint("a: [b")
    assert found.startswith("not YAML: ")
    assert "\n" not in found


@pytest.mark.parametrize("body", [{"kind": "ModelRelease"}, {"kind": "ModelRelease", "metadata": 3, "spec": []}])
def test_broken_objects_are_told_not_raised(body: Mapping[str, Any]) -> None:
    found = " | ".join(lint(text(body)))
    assert "apiVersion is None" in found
    assert "metadata.name: is required" in found
    assert "spec: expected an object" in found


def test_the_server_is_asked_about_what_is_right_offline() -> None:
    asked: list[str] = []

    def judge(body: Mapping[str, Any]) -> str | None:
        asked.append(body["metadata"]["name"])
        return "quota exceeded"

    wrong = Case("", {"metadata.name": "wrong", "spec.suspend": "yes"}).object()
    found = list(lint(text(minimal(), wrong), judge=judge))
    assert asked == ["digits"]
    assert "digits: quota exceeded" in found
    assert any(finding.startswith("wrong: spec.suspend: expected bool") for finding in found)


def test_a_server_that_can_not_judge_is_told() -> None:
    def judge(body: Mapping[str, Any]) -> str | None:
        raise CommandError("the API server does not answer")

    (found,) = lint(text(minimal()), judge=judge)
    assert "could not judge it: the API server does not answer" in found


def nodes(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        if name not in OPAQUE:
            yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], path + "[]")


def test_bounds_are_those_of_the_crd() -> None:
    tree = dict(nodes(SPEC, "spec"))
    ruled = {path for path, node in tree.items() if "x-kubernetes-validations" in node}
    numbers = {p: (n["minimum"], n["maximum"]) for p, n in tree.items() if n["type"] in ("integer", "number")}
    assert {p: limits for p, limits in numbers.items() if p not in ruled} == dict(bounds.NUMBERS)
    choices = {p: tuple(n["enum"]) for p, n in tree.items() if "enum" in n}
    assert choices == dict(bounds.CHOICES)
    lists = {p: (n.get("minItems", 0), n["maxItems"]) for p, n in tree.items() if n["type"] == "array"}
    opaque = {path: limits for path, limits in bounds.LENGTHS.items() if path.rsplit(".", 1)[1] in OPAQUE}
    assert lists | opaque == dict(bounds.LENGTHS)
