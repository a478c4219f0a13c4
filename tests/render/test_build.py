"""The build Job."""

import json
from dataclasses import replace
from typing import Any

import pytest
from modelrelease.domain import naming
from modelrelease.domain.spec import Model, Pass, Source, Spec
from modelrelease.domain.status import Artifact

from model_builder import reference
from tests.render import samples


def builder(job: dict[str, Any]) -> dict[str, Any]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)


def flags(container: dict[str, Any]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])


def test_it_is_named_and_labelled_for_its_artifact_and_attempt() -> None:
    job = samples.job()
    assert job["metadata"]["name"] == naming.job("digits", samples.KEY, 2)
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels[naming.LABEL_ARTIFACT] == samples.KEY
        assert labels[naming.LABEL_ATTEMPT] == "2"
        assert labels.items() >= naming.labels("digits").items()


def test_the_builder_gets_the_spec_without_gates_in_its_environment() -> None:
    container = builder(samples.job())
    (spec,) = [json.loads(env["value"]) for env in container["env"] if env["name"] == "MODEL_BUILD_SPEC"]
    assert container["command"] == ["python", "-m", "model_builder", "build"]
    assert flags(container)["spec"] == "env:MODEL_BUILD_SPEC"
    assert spec == {
        "model": {"name": "digits", "version": "2026.11.1"},
        "source": {"uri": "builtin://digits"},
        "data": {"name": "digits", "seed": 7},
        "recipe": [{"pass": "train", "parameters": {"epochs": 3}}, {"pass": "quantize", "parameters": {}}],
    }


def test_what_people_write_can_not_print_a_secret() -> None:
    model = Model(name="digits", version="1", source=Source(uri="s3://models/$(AWS_SECRET_ACCESS_KEY)"))
    spec = replace(samples.on_s3(), model=model)
    recipe = (Pass(name="train", parameters={"note": "$(AWS_SECRET_ACCESS_KEY)"}),)
    text = json.dumps(samples.job(replace(spec, build=replace(spec.build, recipe=recipe))))
    assert text.count("$$(AWS_SECRET_ACCESS_KEY)") == text.count("(AWS_SECRET_ACCESS_KEY)") == 2


@pytest.mark.parametrize(
    ("uri", "store"),
    [
        ("pvc://models/releases/digits", "file:///artifacts/releases/digits"),
        ("pvc://models/releases/", "file:///artifacts/releases"),
        ("pvc://models", "file:///artifacts"),
    ],
)
def test_a_claim_is_mounted_where_the_builder_writes(uri: str, store: str) -> None:
    build = replace(samples.SPEC.build, artifact_store=replace(samples.SPEC.build.artifact_store, uri=uri))
    job = samples.job(replace(samples.SPEC, build=build))
    container, pod = builder(job), job["spec"]["template"]["spec"]
    assert flags(container)["store"] == store
    assert {"name": "artifacts", "mountPath": "/artifacts"} in container["volumeMounts"]
    assert {"name": "artifacts", "persistentVolumeClaim": {"claimName": "models"}} in pod["volumes"]
    assert "envFrom" not in container


@pytest.mark.parametrize(
    ("store", "uri", "named"),
    [
        (samples.SPEC, "pvc://models/releases/sha256-ab", "file:///artifacts/releases/sha256-ab"),
        (samples.SPEC, "pvc://other/releases/sha256-ab", None),
        (samples.SPEC, "s3://artifacts/releases/sha256-ab", "s3://artifacts/releases/sha256-ab"),
        (samples.on_s3(), "s3://artifacts/$(HOME)", "s3://artifacts/$$(HOME)"),
        (samples.on_s3(), "pvc://models/releases/sha256-ab", None),
        (samples.SPEC, None, None),
    ],
)
def test_the_builder_is_told_of_the_stable_artifact_where_it_can_reach_it(
    store: Spec, uri: str | None, named: str | None
) -> None:
    """By a variable: a builder that does not know it yet builds on."""
    digest = "sha256:" + "ab" * 32
    container = builder(samples.job(store, stable=Artifact(uri=uri, digest=digest) if uri else None))
    found = {env["name"]: env["value"] for env in container["env"]}
    assert found.get(reference.VARIABLE) == (f"{named}@{digest}" if named else None)
    assert flags(container) == flags(builder(samples.job(store)))


def test_an_s3_store_passes_through_with_its_credentials() -> None:
    job = samples.job(samples.on_s3())
    container = builder(job)
    assert flags(container)["store"] == "s3://artifacts/releases"
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert "artifacts" not in {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}


def test_useless_retries_are_spared_and_disruptions_are_free() -> None:
    spec = samples.job()["spec"]
    final, disruption = spec["podFailurePolicy"]["rules"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (1, 900)
    assert final["action"] == "FailJob"
    assert final["onExitCodes"] == {"containerName": "builder", "operator": "In", "values": [2, 3, 4]}
    assert disruption == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_the_result_comes_back_in_the_termination_message() -> None:
    container = builder(samples.job())
    assert flags(container)["termination-log"] == container["terminationMessagePath"]
    assert container["terminationMessagePolicy"] == "File"


def test_the_pod_is_placed_as_the_spec_says() -> None:
    job = samples.job()
    pod = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "H100"}
    assert pod["tolerations"] == [dict(samples.SPEC.build.tolerations[0])]
    assert pod["serviceAccountName"] == "model-builder"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert builder(job)["resources"] == {"limits": {"cpu": "2000m", "memory": "4Gi"}}
