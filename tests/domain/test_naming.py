"""What makes a new build, and what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from modelrelease.domain import codec, naming
from modelrelease.domain.spec import Spec

from tests.api.build_cases import EVERYTHING
from tests.api.case import Case, changed

#: A release as it could be written when data were a name and a seed, and a source a URI.
OLD: dict[str, Any] = {
    "model": {"name": "digits", "version": "1", "source": {"uri": "s3://models/net", "secretRef": {"name": "models"}}},
    "build": {
        "image": "builder:1",
        "recipe": [{"pass": "train", "parameters": {"epochs": 8, "learningRate": 0.5}}, {"pass": "quantize"}],
        "evaluation": {"data": {"name": "digits", "seed": 7}, "gates": [{"metric": "accuracy", "threshold": 0.9}]},
        "artifactStore": {"uri": "pvc://artifacts/releases"},
    },
    "serving": {"triton": {"image": "triton:1", "dynamicBatching": {"preferredBatchSizes": [4]}}, "replicas": 2},
    "traffic": {"gateway": {"parentRefs": [{"name": "g"}], "http": {"hostnames": ["digits.example.com"]}}},
}
SIGNED = {"build.signing": {"secretRef": {"name": "signer"}}}


def keys(spec: Mapping[str, Any]) -> tuple[str, str]:
    typed = codec.decode(Spec, spec, "spec")
    return naming.artifact_key(typed), naming.revision(typed)


def test_a_release_of_before_keeps_its_keys() -> None:
    # Another value here builds and rolls out every release of every user anew when the operator is upgraded.
    assert keys(OLD) == ("59f3320554", "a89c9ac17a")
    assert keys(changed(OLD, SIGNED)) == ("a8fc02cd5d", "4853e345ad")


def test_what_the_api_server_fills_in_is_not_said() -> None:
    filled = {"build.audit": [], "build.evaluation.data.seed": 7, "serving.triton.backend": "onnxruntime"}
    assert keys(changed(OLD, filled)) == keys(OLD)


def test_a_release_with_everything_keeps_its_key() -> None:
    # As above, for who uses the fields that came later.
    found = {name: keys(Case("", change).object()["spec"])[0] for name, change in EVERYTHING.items()}
    assert found == {
        "own-code": "a02bf3f4a9",
        "texts": "ef1a90952e",
        "vocabulary": "83837c0c37",
        "pictures": "e8d9dcf893",
    }


def without_one(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, the value without what stands there), for every field at any depth."""
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield f"{path}.{name}", {key: other for key, other in value.items() if key != name}
            yield from ((where, {**value, name: less}) for where, less in without_one(child, f"{path}.{name}"))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield f"{path}[{index}]", value[:index] + value[index + 1 :]
            rest = without_one(child, f"{path}[{index}]")
            yield from ((where, [*value[:index], less, *value[index + 1 :]]) for where, less in rest)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_field_of_what_is_built_is_in_the_key_and_credentials_are_not(name: str) -> None:
    whole = Case("", EVERYTHING[name]).object()["spec"]
    seen = set()
    for root in ("spec.model.source", "spec.build.evaluation.data", "spec.build.audit", "spec.build.export"):
        for where, less in without_one(EVERYTHING[name].get(root, {}), root):
            spec = changed({"spec": whole}, {root: less})["spec"]
            try:
                same = codec.decode(Spec, spec, "spec") == codec.decode(Spec, whole, "spec")
            except codec.Malformed:
                continue  # a field that is required
            unchanged = keys(spec) == keys(whole)
            assert unchanged == (same or where.endswith(".secretRef")), where
            seen.add(where)
    assert len(seen) >= 5
