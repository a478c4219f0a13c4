"""Revisions in ControllerRevisions, there and back."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease import render
from modelrelease.domain import codec, naming
from modelrelease.domain.observed import BuildResult, Contract, Metric, Record, Tensor
from modelrelease.domain.plan import WantRecord
from modelrelease.domain.status import Artifact

from tests.render import samples

text = st.text(max_size=20)
tensors = st.builds(Tensor, name=text, datatype=text, shape=st.lists(st.integers(-1, 4096), max_size=4).map(tuple))
some_tensors = st.lists(tensors, min_size=1, max_size=3).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)
results = st.builds(
    BuildResult,
    artifact=st.builds(Artifact, uri=text, digest=text),
    contract=st.builds(Contract, inputs=some_tensors, outputs=some_tensors, batchable=st.booleans()),
    metrics=st.dictionaries(text, st.builds(Metric, value=numbers, rows=st.integers(0, 10**9)), max_size=3),
)
wants = st.builds(
    WantRecord, revision=text, artifact_key=text, version=text, result=results, number=st.integers(1, 10**6)
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=10,
)
templates = st.dictionaries(text, json_values, max_size=4)


@given(want=wants, template=templates)
def test_a_record_survives_the_api_server(want: WantRecord, template: dict[str, Any]) -> None:
    made = render.record(meta=samples.META, want=want, template=template)
    stored = json.loads(json.dumps(samples.as_stored(made), sort_keys=True))
    record = render.parse_record(stored)
    assert record == Record(
        revision=want.revision,
        artifact_key=want.artifact_key,
        version=want.version,
        result=want.result,
        template=record.template,
        created=datetime(2026, 11, 22, 10, tzinfo=UTC),
        number=want.number,
        uid="11111111-2222",
        resource_version="77",
    )
    assert render.deployment(meta=samples.META, record=record, replicas=1)["spec"]["template"] == template


@given(template=templates)
def test_equal_templates_give_equal_text(template: dict[str, Any]) -> None:
    want = WantRecord(revision="r", artifact_key="k", version="1", result=samples.RESULT, number=1)
    shuffled = dict(reversed(template.items()))
    first, second = (render.record(meta=samples.META, want=want, template=t) for t in (template, shuffled))
    assert first["data"]["template"] == second["data"]["template"]


def test_it_is_found_by_revision_and_artifact() -> None:
    made = samples.record()
    assert made["metadata"]["name"] == naming.deployment("digits", samples.REVISION)
    assert made["metadata"]["labels"][naming.LABEL_REVISION] == samples.REVISION
    assert made["metadata"]["labels"][naming.LABEL_ARTIFACT] == samples.KEY
    assert made["revision"] == 4


@pytest.mark.parametrize("damage", ["template", "artifact", "contract", "metrics", "revision"])
def test_a_damaged_record_is_named_with_what_it_lacks(damage: str) -> None:
    stored = samples.as_stored(samples.record())
    del stored["data"][damage]
    with pytest.raises(codec.Malformed, match=rf"ControllerRevision digits-{samples.REVISION}: data.{damage}"):
        render.parse_record(stored)


def test_a_record_without_data_is_named() -> None:
    stored = samples.as_stored(samples.record())
    del stored["data"]
    with pytest.raises(codec.Malformed, match="ControllerRevision digits-"):
        render.parse_record(stored)
