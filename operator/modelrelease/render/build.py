"""The build Job."""

from __future__ import annotations

import json
from dataclasses import replace

from modelrelease.domain import codec, naming
from modelrelease.domain.observed import Meta
from modelrelease.domain.plan import WantJob
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Artifact
from modelrelease.render import common
from modelrelease.render.common import Manifest

BUILD_SPEC = "MODEL_BUILD_SPEC"
# A variable and not an argument: a builder image of before there was one builds on without it.
BUILD_STABLE = "MODEL_BUILD_STABLE"

# Exit codes of the builder that another try would only repeat: a wrong spec, a training that
# diverges (the seed is fixed), data that can't be used.
_FINAL_EXIT_CODES = [2, 3, 4]


# A day for people to read the logs; what the operator needs of the answer is in the record.
_KEPT_SECONDS = 86400


def job(*, meta: Meta, spec: Spec, want: WantJob) -> Manifest:
    """Return the Job that builds an artifact. Its pods get no API token."""
    labels = {
        naming.LABEL_ARTIFACT: want.artifact_key,
        naming.LABEL_ATTEMPT: str(want.attempt),
        common.LABEL_VERSION: spec.model.version,
    }
    access, volumes = _access(spec)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": common.metadata(
            meta=meta, name=naming.job(meta.name, want.artifact_key, want.attempt), labels=labels
        ),
        "spec": {
            "backoffLimit": spec.build.backoff_limit,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "activeDeadlineSeconds": spec.build.active_deadline_seconds,
            "podFailurePolicy": _pod_failure_policy(),
            "template": {
                "metadata": {"labels": {**naming.labels(meta.name), **labels}},
                "spec": {
                    **common.placement(spec.build),
                    "restartPolicy": "Never",
                    "securityContext": common.pod_security(),
                    "containers": [_builder(spec=spec, access=access, stable=want.stable)],
                    "volumes": [
                        common.empty_volume(name="tmp"),
                        common.empty_volume(name="scratch"),
                        *volumes,
                    ],
                },
            },
        },
    }


def _access(spec: Spec) -> tuple[Manifest, list[Manifest]]:
    """Return what the build needs to reach source, data, store and key: (container fields, with mounts; volumes)."""
    access, volumes = common.store_access(
        spec.build.artifact_store,
        read_only=False,
        bundle=spec.build.ca_bundle,
        others=(spec.model.source.secret_ref, spec.build.evaluation.data.secret_ref),
    )
    if spec.build.signing:
        mount, volume = common.private_key(spec.build.signing)
        access["volumeMounts"].append(mount)
        volumes.append(volume)
    return access, volumes


def _pod_failure_policy() -> Manifest:
    """Fail at once where a retry is useless; a drained or pre-empted pod costs no retry."""
    return {
        "rules": [
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": "builder", "operator": "In", "values": list(_FINAL_EXIT_CODES)},
            },
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    }


def _builder(*, spec: Spec, access: Manifest, stable: Artifact | None) -> Manifest:
    return {
        "name": "builder",
        "image": spec.build.image,
        "command": ["python", "-m", "model_builder", "build"],
        "args": [
            f"--spec=env:{BUILD_SPEC}",
            "--out=/scratch/out",
            f"--store={common.literal(common.store_uri(spec.build.artifact_store))}",
            *([f"--private-key={common.SIGNING}/{common.PRIVATE_KEY}"] if spec.build.signing else []),
            f"--termination-log={common.TERMINATION_LOG}",
        ],
        **access,
        "env": [
            {"name": BUILD_SPEC, "value": common.literal(_build_spec(spec))},
            *_stable(spec, stable),
            *access["env"],
        ],
        "terminationMessagePath": common.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": common.container_security(),
        **common.resources(spec.build),
        "volumeMounts": [
            common.scratch(name="tmp", path=common.TMP),
            common.scratch(name="scratch", path="/scratch"),
            *access["volumeMounts"],
        ],
    }


def _stable(spec: Spec, artifact: Artifact | None) -> list[Manifest]:
    """Return the variable with the artifact to compare with, none where it lies in a claim that is not mounted."""
    if artifact is None:
        return []
    place = replace(spec.build.artifact_store, uri=artifact.uri)
    if common.claim(place) not in (None, common.claim(spec.build.artifact_store)):
        return []
    value = f"{common.store_uri(place)}@{artifact.digest}"
    return [{"name": BUILD_STABLE, "value": common.literal(value)}]


def _build_spec(spec: Spec) -> str:
    """Return the builder's own spec: what the release says, and nothing where it is silent.

    The builder fills its defaults in. It gets no gates (the operator judges the metrics), and nothing of how the
    artifact will be served (the pods' pull is told that).
    """
    build = spec.build
    said = {
        "model": {"name": spec.model.name, "version": spec.model.version},
        "source": codec.encode(replace(spec.model.source, secret_ref=None)),
        "data": codec.encode(replace(build.evaluation.data, secret_ref=None)),
        "recipe": [{"pass": step.name, "parameters": dict(step.parameters)} for step in build.recipe],
        **({"audit": codec.encode(build.audit)} if build.audit else {}),
        **({"export": codec.encode(build.export)} if build.export else {}),
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"))
