"""Sources and stores: the API server, `lint` and the builder agree on what can be named."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from modelrelease.cli import rules

from model_builder import remote
from model_builder.errors import BadSpec
from model_builder.stores import open_store
from tests.api.crd_cases import NO_SOURCES, NO_STORES, ROOT, SOURCES, STORES

CRD = yaml.safe_load((ROOT / "crds" / "modelreleases.yaml").read_text())
SPEC: dict[str, Any] = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


def in_crd(schema: dict[str, Any]) -> re.Pattern[str]:
    """The pattern of a URI in the CRD, out of its CEL string."""
    rule = schema["properties"]["uri"]["x-kubernetes-validations"][0]["rule"]
    found = re.fullmatch(r"self\.matches\('\^(.*)\$'\)", rule)
    assert found
    return re.compile(found[1].replace("\\\\", "\\"))


PATTERNS = {
    "source": (in_crd(SPEC["model"]["properties"]["source"]), rules._SOURCE),
    "store": (in_crd(SPEC["build"]["properties"]["artifactStore"]), rules._STORE),
}
#: URIs, and what is nearly one.
TEXTS = st.one_of(
    *(st.from_regex(ours, fullmatch=True, alphabet=st.characters(max_codepoint=126)) for _, ours in PATTERNS.values()),
    st.builds(
        lambda uri, at, text: uri[:at] + text + uri[at:],
        st.sampled_from((*SOURCES, *NO_SOURCES, *STORES, *NO_STORES)),
        st.integers(0, 60),
        st.sampled_from(("", " ", "/", ":", "@", "..", "A", "_", "-", "0", "?", "#")),
    ),
)


@settings(deadline=None)
@given(text=TEXTS, kind=st.sampled_from(tuple(PATTERNS)))
def test_lint_and_the_crd_have_one_pattern(text: str, kind: str) -> None:
    theirs, ours = PATTERNS[kind]
    assert bool(theirs.fullmatch(text)) == bool(ours.fullmatch(text))


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
