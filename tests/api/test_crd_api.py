"""The CRD on a real API server: what it accepts, what it refuses and in which words, what it fills in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from modelrelease.domain import codec
from modelrelease.domain.naming import GROUP, PLURAL, VERSION
from modelrelease.domain.policy import Rollout
from modelrelease.domain.spec import Spec

from tests.api.case import SAMPLES, Case, changed, minimal
from tests.api.crd_cases import ACCEPTED, REFUSED
from tests.api.status_sample import STATUS

pytestmark = pytest.mark.api


class Releases:
    """ModelReleases of one namespace through the plain API."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.objects = client.CustomObjectsApi(api)
        self.namespace = namespace

    def call(self, method: str, *args: Any, **options: Any) -> dict[str, Any]:
        function = getattr(self.objects, method)
        return dict(function(GROUP, VERSION, self.namespace, PLURAL, *args, **options))

    def create(self, body: dict[str, Any], **options: Any) -> dict[str, Any]:
        return self.call("create_namespaced_custom_object", body, field_validation="Strict", **options)

    def try_out(self, body: dict[str, Any]) -> dict[str, Any]:
        return self.create(body, dry_run="All")


@pytest.fixture(scope="module")
def releases(modelrelease_api: client.ApiClient) -> Iterator[Releases]:
    core = client.CoreV1Api(modelrelease_api)
    namespace = core.create_namespace({"metadata": {"generateName": "crd-"}}).metadata.name
    yield Releases(modelrelease_api, namespace)
    core.delete_namespace(namespace)


@pytest.fixture
def digits(releases: Releases) -> Iterator[Releases]:
    releases.create(minimal())
    yield releases
    releases.call("delete_namespaced_custom_object", "digits")


def refusal(error: ApiException) -> str:
    return str(json.loads(error.body)["message"])


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.id)
def test_accepted(releases: Releases, case: Case) -> None:
    asked = case.object()
    got = releases.try_out(asked)
    assert codec.decode(Spec, got["spec"]) == codec.decode(Spec, asked["spec"]), "defaults of schema and model differ"


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_refused(releases: Releases, case: Case) -> None:
    with pytest.raises(ApiException) as caught:
        releases.try_out(case.object())
    assert caught.value.status in (400, 422)
    assert case.says is not None
    assert case.says in refusal(caught.value)
    assert "runtime error" not in refusal(caught.value)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_samples_are_accepted(releases: Releases, path: Any) -> None:
    sample = yaml.safe_load(path.read_text())
    got = releases.try_out(sample)
    assert codec.decode(Spec, got["spec"]) == codec.decode(Spec, sample["spec"])


def test_defaults_are_filled_in_by_the_server(releases: Releases) -> None:
    spec = releases.try_out(minimal())["spec"]
    assert "steps" not in spec["rollout"]
    assert codec.decode(Spec, spec).rollout == Rollout()
    assert spec["rollout"]["analysis"] == {
        "interval": "15s",
        "warmup": "60s",
        "minDuration": "60s",
        "minRequests": 50,
        "stepDeadline": "30m",
        "onInconclusive": "Hold",
        "badRequestBudget": 100,
        "errorRate": {"maxIncrease": 0.005, "maxRelativeIncrease": 0.1},
        "latency": {"maxIncrease": 0.005, "maxRelativeIncrease": 0.5},
        "metrics": [],
        "golden": {"enabled": True, "interval": "60s", "compare": []},
    }
    assert spec["rollout"]["bake"] == {"duration": "1h", "holdback": 1, "mirror": 0}
    assert spec["serving"]["triton"]["maxBatchSize"] == 8
    assert spec["suspend"] is False


def test_model_name_is_fixed(digits: Releases) -> None:
    with pytest.raises(ApiException) as caught:
        digits.call("patch_namespaced_custom_object", "digits", {"spec": {"model": {"name": "letters"}}})
    assert 'model.name can not be changed from "digits" to "letters"' in refusal(caught.value)
    version = {"spec": {"model": {"version": "2"}}}
    assert digits.call("patch_namespaced_custom_object", "digits", version)["spec"]["model"]["version"] == "2"


def test_status_is_a_subresource(digits: Releases) -> None:
    written = digits.call("patch_namespaced_custom_object", "digits", {"status": {"phase": "Made up"}})
    assert "status" not in written
    assert written["metadata"]["generation"] == 1
    after = digits.call("patch_namespaced_custom_object_status", "digits", {"status": STATUS})
    assert after["status"] == STATUS, "a field of the status was dropped"
    assert after["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"conditions": [{"type": "Ready", "status": "Maybe"}]}, 'supported values: "True", "False", "Unknown"'),
        ({"candidate": {"stage": "Step"}}, "status.candidate.revision: Required value"),
        ({"history": [STATUS["history"][0]] * 21}, "must have at most 20 items"),
        ({"candidate": {**STATUS["candidate"], "weight": {"desired": 101}}}, "less than or equal to 100"),
    ],
    ids=["condition", "required", "history", "weight"],
)
def test_a_bad_status_is_refused(digits: Releases, status: dict[str, Any], says: str) -> None:
    with pytest.raises(ApiException) as caught:
        digits.call("patch_namespaced_custom_object_status", "digits", {"status": status})
    assert says in refusal(caught.value)


def test_columns_show_the_release(digits: Releases) -> None:
    digits.call("patch_namespaced_custom_object_status", "digits", {"status": STATUS})
    as_table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    listed = digits.objects.list_namespaced_custom_object
    table: Any = listed(GROUP, VERSION, digits.namespace, PLURAL, _headers=as_table)
    names = [column["name"] for column in table["columnDefinitions"]]
    row = dict(zip(names, table["rows"][0]["cells"], strict=True))
    assert names == ["Name", "Phase", "Step", "Weight", "Version", "Stable", "Waiting-For", "Age"]
    assert row | {"Age": ""} == {
        "Name": "digits",
        "Phase": "Progressing",
        "Step": "3/4",
        "Weight": 25,
        "Version": "2026.11.1",
        "Stable": "2026.11.0",
        "Waiting-For": "approval of step 3",
        "Age": "",
    }


def test_an_unrelated_edit_of_a_release_is_accepted(digits: Releases) -> None:
    body = changed(minimal(), {"metadata.labels": {"team": "vision"}, "spec.suspend": True})
    edited = digits.call("patch_namespaced_custom_object", "digits", body)
    assert edited["spec"]["suspend"] is True
