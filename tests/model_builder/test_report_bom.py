"""The BOM against the constraints of CycloneDX 1.6 on what it uses: closed objects, required keys, forms, references.

Written from the published schema by hand, for the parts that are used; the schema file itself is not run here.
"""

import datetime
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_builder.artifact import hash_file
from model_builder.finished import read
from model_builder.report import bom
from tests.model_builder import told
from tests.model_builder.conftest import Artifact

Check = Callable[[Any], None]


def text(pattern: str = r"(?s).*") -> Check:
    def check(value: Any) -> None:
        assert isinstance(value, str) and re.fullmatch(pattern, value), value

    return check


def number(value: Any) -> None:
    assert isinstance(value, int) and value >= 1


def moment(value: Any) -> None:
    assert datetime.datetime.fromisoformat(value).tzinfo is not None


def one_of(*known: str) -> Check:
    return text("|".join(map(re.escape, known)))


def many(item: Check, *, unique: bool = False) -> Check:
    def check(value: Any) -> None:
        assert isinstance(value, list)
        for entry in value:
            item(entry)
        if unique:
            assert len({json.dumps(entry, sort_keys=True) for entry in value}) == len(value)

    return check


def closed(required: tuple[str, ...], **fields: Check) -> Check:
    def check(value: Any) -> None:
        assert isinstance(value, dict)
        assert set(required) <= set(value), (required, value)
        for name, inner in value.items():
            known = name.replace("-", "_").replace("$", "")
            assert known in fields, f"{name} is no property here"
            fields[known](inner)

    return check


def component(value: Any) -> None:
    closed(
        ("type", "name"),
        type=one_of("application", "library", "file", "data", "platform", "machine-learning-model"),
        bom_ref=text(r"(?s).+"),
        name=text(),
        version=text(r"(?s).{0,1024}"),
        scope=one_of("required", "optional", "excluded"),
        hashes=many(HASH),
        purl=text(r"pkg:[a-z]+/[^\s@]+@[A-Za-z0-9._~%-]+"),
        components=many(component, unique=True),
        modelCard=MODEL_CARD,
        data=many(DATA),
        properties=PROPERTIES,
    )(value)
    assert ("modelCard" in value) == (value["type"] == "machine-learning-model")
    assert ("data" in value) == (value["type"] == "data")


IRI = text(r"[A-Za-z0-9:/?#\[\]@!$&'()*+,;=%._~-]*")
PROPERTIES = many(closed(("name", "value"), name=text(), value=text()))
HASH = closed(("alg", "content"), alg=one_of("SHA-256"), content=text("[a-f0-9]{64}"))
DATA = closed(
    ("type",),
    type=one_of("source-code", "configuration", "dataset", "definition", "other"),
    name=text(),
    contents=closed((), url=IRI, properties=PROPERTIES),
    description=text(),
    sensitiveData=many(text()),
)
METRIC = closed(
    (),
    type=text(),
    value=text(),
    slice=text(),
    confidenceInterval=closed((), lowerBound=text(), upperBound=text()),
)
MODEL_CARD = closed(
    (),
    modelParameters=closed(
        (),
        approach=closed(
            (),
            type=one_of("supervised", "unsupervised", "reinforcement-learning", "semi-supervised", "self-supervised"),
        ),
        task=text(),
        modelArchitecture=text(),
        datasets=many(closed(("ref",), ref=text(r"(?s).+"))),
        inputs=many(closed((), format=text())),
        outputs=many(closed((), format=text())),
    ),
    quantitativeAnalysis=closed((), performanceMetrics=many(METRIC)),
    considerations=closed((), technicalLimitations=many(text())),
    properties=PROPERTIES,
)
BOM = closed(
    ("bomFormat", "specVersion"),
    schema=one_of("http://cyclonedx.org/schema/bom-1.6.schema.json"),
    bomFormat=one_of("CycloneDX"),
    specVersion=one_of("1.6"),
    serialNumber=text("urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    version=number,
    metadata=closed(
        (),
        timestamp=moment,
        lifecycles=many(closed(("phase",), phase=one_of("build", "post-build"))),
        tools=closed((), components=many(component, unique=True)),
        component=component,
    ),
    components=many(component, unique=True),
    dependencies=many(closed(("ref",), ref=text(r"(?s).+"), dependsOn=many(text(), unique=True)), unique=True),
)


def found_in(value: Any, key: str) -> Iterator[Any]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from found_in(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from found_in(inner, key)


def check(document: dict[str, Any]) -> None:
    BOM(document)
    refs = list(found_in(document, "bom-ref"))
    assert len(set(refs)) == len(refs)
    assert {*found_in(document, "ref"), *(r for d in document["dependencies"] for r in d.get("dependsOn", []))} <= {
        *refs
    }


def made(folder: Path, name: str = "plain", **changes: Any) -> dict[str, Any]:
    return dict(json.loads(bom.render(read(told.artifact(folder, name, **changes)))))


@pytest.mark.parametrize("name", ["plain", 'a b"|<x>\ud800\0é', "file:contract.json"])
def test_the_bom_has_the_form_of_cyclonedx(tmp_path: Path, name: str) -> None:
    check(made(tmp_path / "a", name))


@pytest.mark.parametrize(
    "break_it",
    [
        lambda bom: bom.update(bomFormat="SPDX"),
        lambda bom: bom.update(more=1),
        lambda bom: bom["metadata"]["component"].pop("name"),
        lambda bom: bom["metadata"]["component"]["hashes"][0].update(content="0"),
        lambda bom: bom["components"].append(bom["components"][0]),
        lambda bom: bom["dependencies"][0].update(dependsOn=["nobody"]),
        lambda bom: bom["components"][0].update(modelCard={}),
    ],
)
def test_the_form_is_one_that_can_be_missed(tmp_path: Path, break_it: Callable[[dict[str, Any]], Any]) -> None:
    document = made(tmp_path / "a")
    break_it(document)
    with pytest.raises(AssertionError):
        check(document)


def test_every_file_is_listed_with_its_hash(tmp_path: Path) -> None:
    document = made(tmp_path / "a")
    files = {c["name"]: c["hashes"][0]["content"] for c in document["metadata"]["component"]["components"]}
    there = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert files == {path.relative_to(tmp_path / "a").as_posix(): hash_file(path) for path in there}
    assert document["metadata"]["component"]["hashes"][0]["content"] == files["repository/m/1/model.onnx"]


def test_metrics_keep_their_bounds_and_parts(tmp_path: Path) -> None:
    card = made(tmp_path / "a")["metadata"]["component"]["modelCard"]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics[0] == {
        "type": "accuracy",
        "value": "0.9",
        "confidenceInterval": {"lowerBound": "0.606", "upperBound": "0.994"},
    }
    assert {"type": "recall", "value": "0.8", "slice": "dog"} in metrics
    assert {"type": "sizeBytes.source", "value": "8192"} in metrics


def test_data_libraries_and_limits_are_there(tmp_path: Path) -> None:
    document = made(tmp_path / "a", "x y", gates=[told.BLOCKED], audits={})
    data = document["components"][0]["data"][0]
    assert data["contents"]["url"] == "file:///x%20y.csv"
    assert data["sensitiveData"] == ["column x y"]
    assert {c.get("purl") for c in document["components"]} == {None, "pkg:pypi/onnxruntime@1.32.0"}
    limits = document["metadata"]["component"]["modelCard"]["considerations"]["technicalLimitations"]
    assert limits[0] == "gate Fail: accuracy fell by more than 0.03" and "no audit" in limits[1]
    assert {"name": "model_builder:blocked", "value": "true"} in document["metadata"]["component"]["properties"]


def test_a_build_of_a_library_of_its_own_has_a_package_url_that_can_be_read(tmp_path: Path) -> None:
    document = made(tmp_path / "a", versions={"model_builder": "0.1.0", "torch": "2.15.0+cpu"})
    check(document)
    assert document["components"][1]["purl"] == "pkg:pypi/torch@2.15.0%2Bcpu"


def test_the_bom_of_an_artifact_is_always_the_same_and_of_another_another(tmp_path: Path) -> None:
    first, other = told.artifact(tmp_path / "a"), told.artifact(tmp_path / "b", "other")
    assert bom.render(read(first)) == bom.render(read(first))
    assert bom.document(read(first))["serialNumber"] != bom.document(read(other))["serialNumber"]


def test_a_real_build_has_a_bom(artifact: Artifact) -> None:
    check(bom.document(read(artifact.directory)))
