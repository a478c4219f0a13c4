"""Sources and stores: the API server, `lint` and the builder agree on what can be named."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from modelrelease.cli import build_rules, rules

from model_builder import remote
from model_builder.errors import BadSpec
from model_builder.stores import open_store
from tests.api.build_cases import DATA_URIS, NO_DATA_URIS
from tests.api.case import ROOT
from tests.api.crd_cases import NO_SOURCES, NO_STORES, SOURCES, STORES

CRD = yaml.safe_load((ROOT / "crds" / "modelreleases.yaml").read_text())
SPEC: dict[str, Any] = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


def in_crd(schema: dict[str, Any], field: str = "uri") -> re.Pattern[str]:
    """The pattern of a URI in the CRD, out of its CEL string."""
    rule = schema["properties"][field]["x-kubernetes-validations"][0]["rule"]
    found = re.fullmatch(r"self\.matches\('\^(.*)\$'\)", rule)
    assert found
    return re.compile(found[1].replace("\\\\", "\\"))


DATA: dict[str, Any] = SPEC["build"]["properties"]["evaluation"]["properties"]["data"]
PATTERNS = {
    "source": (in_crd(SPEC["model"]["properties"]["source"]), build_rules._SOURCE),
    "data": (in_crd(DATA), build_rules._DATA),
    "store": (in_crd(SPEC["build"]["properties"]["artifactStore"]), rules._STORE),
}
INSERTED = ("", " ", "/", ":", "@", "..", "A", "_", "-", "0", "?", "#")
LISTED = (
    *(*SOURCES, *NO_SOURCES, *STORES, *NO_STORES, *DATA_URIS, *NO_DATA_URIS),
    *("builtin://x", "file:///a/b", "s3://bucket/key", "pvc://claim/a"),
)


def near(uri: str) -> Iterator[str]:
    """The URI, and what differs from it at one place."""
    for place in range(len(uri) + 1):
        yield uri[:place] + uri[place + 1 :]
        yield from (uri[:place] + text + uri[place:] for text in INSERTED)


@pytest.mark.parametrize("kind", PATTERNS)
def test_lint_and_the_crd_have_one_pattern(kind: str) -> None:
    theirs, ours = PATTERNS[kind]
    texts = {text for uri in LISTED for text in near(uri)}
    taken = {text for text in texts if ours.fullmatch(text)}
    assert {text for text in texts if theirs.fullmatch(text)} == taken
    assert 100 < len(taken) < len(texts) - 100


def accepts(check: Callable[[str], object], uri: str) -> bool:
    try:
        check(uri)
    except BadSpec:
        return False
    return True


@pytest.mark.parametrize("uri", SOURCES)
def test_the_builder_takes_every_source_that_the_api_takes(uri: str) -> None:
    assert accepts(lambda text: remote.check(text, where="source"), uri)


@pytest.mark.parametrize("uri", NO_SOURCES)
def test_the_api_refuses_no_source_that_the_builder_takes(uri: str) -> None:
    assert not accepts(lambda text: remote.check(text, where="source"), uri)


@pytest.mark.parametrize("uri", [uri for uri in STORES if uri.startswith("oci://")])
def test_the_builder_takes_every_registry_that_the_api_takes(uri: str) -> None:
    # The other stores are opened with a client of their cloud, which wants credentials.
    assert accepts(open_store, uri)


def test_all_places_of_data_have_one_pattern() -> None:
    parts = DATA["properties"]
    splits, text = parts["splits"], parts["text"]
    places = [(DATA, "unlabelled"), (text, "vocabularyUri"), *((splits, name) for name in splits["properties"])]
    assert {in_crd(schema, field).pattern for schema, field in places} == {in_crd(DATA).pattern}


@pytest.mark.parametrize("uri", DATA_URIS)
def test_the_builder_takes_all_data_that_the_api_takes(uri: str) -> None:
    assert accepts(lambda text: remote.check(text, where="data"), uri)


@pytest.mark.parametrize("uri", NO_DATA_URIS)
def test_the_api_refuses_no_data_that_the_builder_takes(uri: str) -> None:
    assert not accepts(lambda text: remote.check(text, where="data"), uri)
