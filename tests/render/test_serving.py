"""Pod template, Deployment and PodDisruptionBudget of a revision."""

import json
from dataclasses import replace
from typing import Any

import pytest
from modelrelease import render
from modelrelease.domain import naming

from tests.render import samples

PULL_VERBS = ["python", "-m", "model_builder", "pull"]


def container(name: str, template: dict[str, Any] | None = None) -> dict[str, Any]:
    pod = (template or samples.template())["spec"]
    (found,) = [c for c in pod["initContainers"] + pod["containers"] if c["name"] == name]
    return dict(found)


def test_the_artifact_is_pulled_by_digest_before_triton_starts() -> None:
    pull = container("pull")
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in pull["args"])
    assert (pull["image"], pull["command"]) == ("registry.example/puller:1", PULL_VERBS)
    assert (flags["uri"], flags["digest"]) == (
        "file:///artifacts/releases/digits/sha256-ab",
        samples.RESULT.artifact.digest,
    )
    assert (flags["model"], flags["to"], flags["backend"]) == ("digits", "/models", "onnxruntime")
    assert json.loads(flags["serving"]) == {
        "maxBatchSize": 8,
        "dynamicBatching": {"maxQueueDelayMicroseconds": 100, "maxQueueSize": 0, "preferredBatchSizes": [4, 8]},
        "instanceCount": 2,
        "warmup": True,
        "revision": samples.REVISION,
    }


def test_the_store_can_only_be_read_and_triton_does_not_see_it() -> None:
    assert {"name": "artifacts", "mountPath": "/artifacts", "readOnly": True} in container("pull")["volumeMounts"]
    assert "artifacts" not in {mount["name"] for mount in container("triton")["volumeMounts"]}


def test_credentials_of_the_store_reach_the_pull_and_not_triton() -> None:
    template = samples.template(samples.on_s3())
    assert container("pull", template)["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert "envFrom" not in container("triton", template)


def test_triton_serves_the_repository_and_takes_no_administration() -> None:
    arguments = container("triton")["args"]
    assert arguments[0] == "tritonserver"
    assert {"--model-repository=/models", "--model-control-mode=none", "--exit-on-error=true"} <= set(arguments)
    for protocol in ("--http-restricted-api=", "--grpc-restricted-protocol="):
        (restricted,) = [a.removeprefix(protocol) for a in arguments if a.startswith(protocol)]
        apis, _, key = restricted.partition(":")
        assert set(apis.split(",")) == {"model-repository", "shared-memory", "logging", "trace"}
        assert key.endswith("=$(POD_UID)")
    (uid,) = [env for env in container("triton")["env"] if env["name"] == "POD_UID"]
    assert uid["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.uid"


@pytest.mark.parametrize(("allowed", "failures"), [(122, 25), (120, 24), (1, 1)])
def test_startup_may_take_as_long_as_the_spec_says(allowed: int, failures: int) -> None:
    triton = replace(samples.SPEC.serving.triton, startup_seconds=allowed)
    spec = replace(samples.SPEC, serving=replace(samples.SPEC.serving, triton=triton))
    probe = container("triton", samples.template(spec))["startupProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"]) == (5, failures)


def test_readiness_asks_for_the_model_and_liveness_for_the_server() -> None:
    triton = container("triton")
    ready = {"path": "/v2/models/digits/versions/1/ready", "port": "http"}
    assert triton["startupProbe"]["httpGet"] == triton["readinessProbe"]["httpGet"] == ready
    assert triton["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": "http"}


def test_a_stopping_pod_leaves_the_endpoints_first_and_then_finishes_its_requests() -> None:
    triton = container("triton")
    pause = triton["lifecycle"]["preStop"]["sleep"]["seconds"]
    (finish,) = [int(a.partition("=")[2]) for a in triton["args"] if a.startswith("--exit-timeout-secs=")]
    assert pause >= 10
    assert samples.template()["spec"]["terminationGracePeriodSeconds"] > pause + finish


def test_shared_memory_grows_with_the_instances() -> None:
    volumes = {volume["name"]: volume["emptyDir"] for volume in samples.template()["spec"]["volumes"][:3]}
    assert volumes["shm"] == {"medium": "Memory", "sizeLimit": "384Mi"}
    assert {"name": "shm", "mountPath": "/dev/shm"} in container("triton")["volumeMounts"]


def test_pods_of_a_revision_spread_over_nodes() -> None:
    (spread,) = samples.template()["spec"]["topologySpreadConstraints"]
    labels = samples.template()["metadata"]["labels"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    assert spread["labelSelector"]["matchLabels"][naming.LABEL_REVISION] == samples.REVISION


def test_the_pod_is_placed_as_the_spec_says() -> None:
    serving = replace(samples.SPEC.serving, runtime_class_name="nvidia")
    template = samples.template(replace(samples.SPEC, serving=serving))
    assert template["spec"]["runtimeClassName"] == "nvidia"
    assert template["spec"]["serviceAccountName"] == "model-server"
    assert container("triton", template)["resources"] == samples.SPEC.serving.resources
    assert "nvidia.com/gpu" not in str(container("pull", template)["resources"])
    assert "runtimeClassName" not in samples.template()["spec"]


def test_prometheus_finds_the_metrics() -> None:
    ports = {port["name"]: port["containerPort"] for port in container("triton")["ports"]}
    assert ports == {"http": 8000, "grpc": 8001, "metrics": 8002}
    assert samples.template()["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8002",
    }


def test_a_template_does_not_depend_on_the_releases_identity() -> None:
    """A release that is orphaned and applied again has another uid, and its pods must not restart."""
    reborn = replace(samples.META, uid="other", resource_version="1", generation=1)
    again = render.pod_template(
        meta=reborn, spec=samples.SPEC, revision=samples.REVISION, result=samples.RESULT, config=samples.CONFIG
    )
    assert again == samples.template()


def test_the_deployment_takes_the_recorded_template_word_for_word() -> None:
    record = render.parse_record(samples.as_stored(samples.record()))
    old = {"metadata": {"labels": {"rendered-by": "an older operator"}}, "spec": {"containers": [{"name": "x"}]}}
    kept = replace(record, template=json.dumps(old))
    deployment = render.deployment(meta=samples.META, record=kept, replicas=0)
    assert deployment["spec"]["template"] == old
    assert deployment["spec"]["replicas"] == 0


def test_deployment_and_budget_select_one_revision_of_one_release() -> None:
    selector = {"matchLabels": {naming.LABEL_RELEASE: "digits", naming.LABEL_REVISION: samples.REVISION}}
    deployment, pdb = (
        samples.deployment(),
        render.pdb(meta=samples.META, revision=samples.REVISION, deployment_uid="d-1"),
    )
    assert deployment["spec"]["selector"] == pdb["spec"]["selector"] == selector
    assert deployment["metadata"]["name"] == pdb["metadata"]["name"] == naming.deployment("digits", samples.REVISION)
    labels = samples.job()["spec"]["template"]["metadata"]["labels"]
    assert not selector["matchLabels"].items() <= labels.items(), "a build pod must not become an endpoint"


def test_no_ready_pod_is_taken_away_by_a_repair_and_a_drain_takes_one() -> None:
    strategy = samples.deployment()["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    budget = render.pdb(meta=samples.META, revision=samples.REVISION, deployment_uid="d-1")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
