"""The serving pods of a revision: pod template, Deployment, PodDisruptionBudget.

The template is rendered once, when the revision is recorded, and reused word for word:
an operator upgrade that renders it differently restarts no pod.
"""

from __future__ import annotations

import json
from dataclasses import replace
from math import ceil

from modelrelease.domain import naming
from modelrelease.domain.codec import encode
from modelrelease.domain.observed import BuildResult, Meta, Record
from modelrelease.domain.spec import Spec
from modelrelease.render import common
from modelrelease.render.common import Manifest
from modelrelease.render.config import RenderConfig

HTTP_PORT, GRPC_PORT, METRICS_PORT = 8000, 8001, 8002

# Triton refuses connections the moment it is told to stop: endpoints must be gone everywhere before that.
_PRE_STOP_SECONDS = 12
_EXIT_SECONDS = 30
_MARGIN_SECONDS = 8

_PROBE_SECONDS = 5

# Whoever reaches the port could load code of their own through these; the gateway's routes never get there.
_RESTRICTED_APIS = "model-repository,shared-memory,logging,trace"
_NO_DEADLINE = 2**31 - 1


def pod_template(*, meta: Meta, spec: Spec, revision: str, result: BuildResult, config: RenderConfig) -> Manifest:
    """Return the pod template of a revision: fetch and verify the artifact, then serve it with Triton."""
    triton = spec.serving.triton
    # Where the artifact is, not where the spec would put the next one: the store may have been changed since.
    store = replace(spec.build.artifact_store, uri=result.artifact.uri)
    bundle = None if common.claim(store) else spec.build.ca_bundle
    access, volumes = common.store_access(store, read_only=True, bundle=bundle)
    if spec.serving.verification:
        mount, volume = common.public_key(spec.serving.verification)
        access["volumeMounts"].append(mount)
        volumes.append(volume)
    pod: Manifest = {
        **common.placement(spec.serving),
        "securityContext": common.pod_security(),
        "terminationGracePeriodSeconds": _PRE_STOP_SECONDS + _EXIT_SECONDS + _MARGIN_SECONDS,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": common.selector(meta=meta, revision=revision)},
            }
        ],
        "initContainers": [_pull(spec=spec, revision=revision, result=result, config=config, access=access)],
        "containers": [_triton(spec=spec)],
        "volumes": [
            common.empty_volume(name="tmp"),
            common.empty_volume(name="models"),
            # Triton's python backend takes 64 MiB for each process of the model; a container's own share is 64 MiB.
            common.empty_volume(name="shm", medium="Memory", sizeLimit=f"{256 + 64 * triton.instance_count}Mi"),
            *volumes,
        ],
    }
    if spec.serving.runtime_class_name:
        pod["runtimeClassName"] = spec.serving.runtime_class_name
    labels = {
        **naming.labels(meta.name),
        naming.LABEL_REVISION: revision,
        common.LABEL_VERSION: spec.model.version,
    }
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS_PORT)}
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}


def _pull(*, spec: Spec, revision: str, result: BuildResult, config: RenderConfig, access: Manifest) -> Manifest:
    served = encode(spec.serving.triton)
    serving = {
        key: served[key] for key in ("maxBatchSize", "dynamicBatching", "instanceCount", "warmup") if key in served
    }
    arguments = {
        "uri": common.store_uri(replace(spec.build.artifact_store, uri=result.artifact.uri)),
        "digest": result.artifact.digest,
        "model": spec.model.name,
        "to": "/models",
        "backend": spec.serving.triton.backend,
        "serving": json.dumps({**serving, "revision": revision}, sort_keys=True, separators=(",", ":")),
        "termination-log": common.TERMINATION_LOG,
    }
    if spec.serving.verification:
        arguments["public-key"] = f"{common.VERIFICATION}/{common.PUBLIC_KEY}"
    return {
        "name": "pull",
        "image": config.puller_image,
        "command": ["python", "-m", "model_builder", "pull"],
        "args": [f"--{key}={common.literal(value)}" for key, value in arguments.items()],
        "terminationMessagePath": common.TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "securityContext": common.container_security(),
        **access,
        "volumeMounts": [
            common.scratch(name="tmp", path=common.TMP),
            common.scratch(name="models", path="/models"),
            *access["volumeMounts"],
        ],
    }


def _triton(*, spec: Spec) -> Manifest:
    model_ready = {"path": f"/v2/models/{spec.model.name}/versions/1/ready", "port": "http"}
    return {
        "name": "triton",
        "image": spec.serving.triton.image,
        # Arguments, not a command: the entrypoint of NVIDIA's image picks the CUDA libraries that fit the driver.
        "args": _tritonserver(),
        "env": [
            common.home(),
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}},
        ],
        "ports": [
            {"name": name, "containerPort": port, "protocol": "TCP"}
            for name, port in (("http", HTTP_PORT), ("grpc", GRPC_PORT), ("metrics", METRICS_PORT))
        ],
        # Loading may take minutes; the other two probes wait for it.
        "startupProbe": {
            "httpGet": model_ready,
            "periodSeconds": _PROBE_SECONDS,
            "timeoutSeconds": _PROBE_SECONDS,
            "failureThreshold": ceil(spec.serving.triton.startup_seconds / _PROBE_SECONDS),
        },
        # The model, not the server: a server without any model calls itself ready.
        "readinessProbe": {
            "httpGet": model_ready,
            "periodSeconds": _PROBE_SECONDS,
            "timeoutSeconds": _PROBE_SECONDS,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": "/v2/health/live", "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": _PRE_STOP_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": common.container_security(),
        **common.resources(spec.serving),
        "volumeMounts": [
            common.scratch(name="tmp", path=common.TMP),
            common.scratch(name="shm", path="/dev/shm"),  # noqa: S108 - a volume of the pod
            {"name": "models", "mountPath": "/models", "readOnly": True},
        ],
    }


def _tritonserver() -> list[str]:
    """Return Triton's command line.

    Control mode `none` serves what is in the repository, which is this one model, and loads or
    unloads nothing on anybody's request. The configuration was written in full by the pull;
    completing it would add batching that nobody asked for. The pod's uid, which nobody who just
    reaches the port knows, locks the administration endpoints.
    """
    lock = f"{_RESTRICTED_APIS}:x-pod-uid=$(POD_UID)"
    return [
        "tritonserver",
        "--model-repository=/models",
        "--model-control-mode=none",
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--disable-auto-complete-config",
        f"--http-restricted-api={lock}",
        f"--grpc-restricted-protocol={lock}",
        f"--http-port={HTTP_PORT}",
        f"--grpc-port={GRPC_PORT}",
        f"--metrics-port={METRICS_PORT}",
        "--metrics-config=histogram_latencies=true",
        "--metrics-config=summary_latencies=true",
        f"--exit-timeout-secs={_EXIT_SECONDS}",
    ]


def deployment(*, meta: Meta, record: Record, replicas: int, intent: str | None = None) -> Manifest:
    """Return a revision's Deployment: the recorded template word for word.

    The template never changes within a revision, so that nothing rolls; were it changed from
    outside, repairing it takes no ready pod away first. How long a rollout may take is the
    release's business (`progressDeadline`), and so is its history.
    """
    labels = {naming.LABEL_REVISION: record.revision, common.LABEL_VERSION: record.version}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": common.metadata(
            meta=meta, name=naming.deployment(meta.name, record.revision), labels=labels, intent=intent
        ),
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": _NO_DEADLINE,
            "revisionHistoryLimit": 0,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": common.selector(meta=meta, revision=record.revision)},
            "template": json.loads(record.template),
        },
    }


def pdb(*, meta: Meta, revision: str, deployment_uid: str) -> Manifest:
    """Return a revision's PodDisruptionBudget: one pod at a time, and broken pods never block a drain.

    Its Deployment owns it, and takes it along.
    """
    name = naming.deployment(meta.name, revision)
    metadata = common.metadata(meta=meta, name=name, labels={naming.LABEL_REVISION: revision})
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": deployment_uid}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {**metadata, "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": False}]},
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": common.selector(meta=meta, revision=revision)},
        },
    }
