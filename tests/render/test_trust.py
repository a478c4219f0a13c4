"""Who signs what is built, whose signature is asked for, and which credentials go where."""

from dataclasses import replace
from typing import Any

import pytest
from modelrelease import render
from modelrelease.domain import naming
from modelrelease.domain.data import Data, Format
from modelrelease.domain.refs import ConfigMapRef, SecretRef
from modelrelease.domain.spec import ArtifactStore, CaBundle, Signing, Source, Spec, Verification

from model_builder import authorities
from tests.render import samples

PRIVATE = {"name": "signing", "mountPath": "/signing", "readOnly": True}
PUBLIC = {"name": "verification", "mountPath": "/verification", "readOnly": True}


def trusted(spec: Spec = samples.SPEC) -> Spec:
    """The release with both keys."""
    build = replace(spec.build, signing=Signing(secret_ref=SecretRef(name="signer")))
    serving = replace(spec.serving, verification=Verification(config_map_ref=ConfigMapRef(name="signers")))
    return replace(spec, build=build, serving=serving)


def from_hub(spec: Spec = samples.SPEC, *, name: str = "hub") -> Spec:
    source = Source(uri="hf://org/name@" + "0" * 40, secret_ref=SecretRef(name=name))
    return replace(spec, model=replace(spec.model, source=source))


def builder(spec: Spec) -> dict[str, Any]:
    return dict(samples.job(spec)["spec"]["template"]["spec"]["containers"][0])


def pull(spec: Spec) -> dict[str, Any]:
    return dict(samples.template(spec)["spec"]["initContainers"][0])


def volume(pod: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in pod["volumes"] if each["name"] == name]
    return dict(found)


def test_the_build_signs_with_the_key_of_the_secret() -> None:
    container, pod = builder(trusted()), samples.job(trusted())["spec"]["template"]["spec"]
    assert "--private-key=/signing/private-key.pem" in container["args"]
    assert PRIVATE in container["volumeMounts"]
    assert volume(pod, "signing")["secret"] == {
        "secretName": "signer",
        "defaultMode": 0o440,
        "items": [{"key": "private-key.pem", "path": "private-key.pem"}],
        "optional": True,
    }
    assert container.get("envFrom") == builder(samples.SPEC).get("envFrom")


def test_the_pull_verifies_with_the_key_of_the_config_map() -> None:
    template = samples.template(trusted())
    assert "--public-key=/verification/public-key.pem" in pull(trusted())["args"]
    assert PUBLIC in pull(trusted())["volumeMounts"]
    assert volume(template["spec"], "verification")["configMap"] == {
        "name": "signers",
        "items": [{"key": "public-key.pem", "path": "public-key.pem"}],
        "optional": True,
    }
    assert PUBLIC not in template["spec"]["containers"][0]["volumeMounts"]


def test_the_private_key_reaches_no_serving_pod_and_the_public_one_no_build() -> None:
    assert "sign" not in str(samples.template(replace(trusted(), serving=samples.SPEC.serving)))
    assert "verification" not in str(samples.job(trusted()))


def with_authorities(spec: Spec) -> Spec:
    bundle = CaBundle(config_map_ref=ConfigMapRef(name="company"))
    return replace(spec, build=replace(spec.build, ca_bundle=bundle))


def in_registry(spec: Spec = samples.SPEC) -> Spec:
    return replace(spec, build=replace(spec.build, artifact_store=ArtifactStore(uri="oci://registry.example/team/r")))


def template_of(spec: Spec, *, artifact: str) -> dict[str, Any]:
    """The pod template of an artifact that lies there."""
    result = replace(samples.RESULT, artifact=replace(samples.RESULT.artifact, uri=artifact))
    return render.pod_template(
        meta=samples.META, spec=spec, revision=samples.REVISION, result=result, config=samples.CONFIG
    )


def test_build_and_pull_get_the_certificate_authorities_as_one_file() -> None:
    spec = with_authorities(in_registry())
    built = samples.job(spec)["spec"]["template"]["spec"]
    served = template_of(spec, artifact="oci://registry.example/team/r:sha256-ab")["spec"]
    for pod, container in ((built, built["containers"][0]), (served, served["initContainers"][0])):
        (mount,) = [each for each in container["volumeMounts"] if each["name"] == "authorities"]
        assert mount == {"name": "authorities", "mountPath": "/authorities", "readOnly": True}
        assert {"name": authorities.VARIABLE, "value": "/authorities/ca.crt"} in container["env"]
        assert {"name": "HOME", "value": "/tmp"} in container["env"]
        assert volume(pod, "authorities")["configMap"] == {
            "name": "company",
            "items": [{"key": "ca.crt", "path": "ca.crt"}],
            "optional": True,
        }
    assert "authorities" not in str(served["containers"])


def test_a_pod_that_reads_a_claim_does_without_certificate_authorities() -> None:
    spec = with_authorities(in_registry())
    assert "authorities" not in str(template_of(spec, artifact="pvc://models/sha256-ab"))
    assert samples.template(with_authorities(samples.SPEC)) == samples.template()
    assert "authorities" in str(samples.job(with_authorities(samples.SPEC)))  # its source may be elsewhere


def test_certificate_authorities_start_no_release_and_reach_nobody_who_names_none() -> None:
    spec = with_authorities(samples.SPEC)
    assert naming.artifact_key(spec) == naming.artifact_key(samples.SPEC)
    assert naming.revision(spec) == naming.revision(samples.SPEC)
    assert "authorities" not in str([samples.job(in_registry()), samples.template(in_registry())])


def test_who_wants_no_signatures_gets_the_same_pods_and_names_as_before() -> None:
    assert not [a for a in (*builder(samples.SPEC)["args"], *pull(samples.SPEC)["args"]) if "-key=" in a]
    # As they were before there were signatures: another value here restarts every release of every user.
    assert (naming.artifact_key(samples.SPEC), naming.revision(samples.SPEC)) == ("a3c1d4a324", "cc52b69238")


def test_a_signer_makes_another_build_and_a_verifier_another_revision() -> None:
    signed = replace(trusted(), serving=samples.SPEC.serving)
    verified = replace(trusted(), build=samples.SPEC.build)
    assert len({naming.artifact_key(spec) for spec in (samples.SPEC, signed)}) == 2
    assert naming.artifact_key(verified) == naming.artifact_key(samples.SPEC)
    assert len({naming.revision(spec) for spec in (samples.SPEC, signed, verified, trusted())}) == 4


def test_credentials_of_a_source_reach_the_build_alone_and_change_no_name() -> None:
    spec = from_hub()
    assert builder(spec)["envFrom"] == [{"secretRef": {"name": "hub"}}]
    assert "envFrom" not in pull(spec)
    without = replace(spec, model=replace(spec.model, source=replace(spec.model.source, secret_ref=None)))
    assert naming.revision(spec) == naming.revision(without)


def with_data(name: str, spec: Spec = samples.SPEC) -> Spec:
    data = Data(name="rows", format=Format.CSV, uri="s3://data/rows.csv", secret_ref=SecretRef(name=name))
    return replace(spec, build=replace(spec.build, evaluation=replace(spec.build.evaluation, data=data)))


def test_credentials_of_data_reach_the_build_alone_and_change_no_name() -> None:
    spec = with_data("rows")
    assert builder(spec)["envFrom"] == [{"secretRef": {"name": "rows"}}]
    assert "envFrom" not in pull(spec)
    assert naming.revision(spec) == naming.revision(with_data("other"))


@pytest.mark.parametrize(
    ("source", "data", "store", "names"),
    [
        ("hub", "rows", "s3", ["hub", "rows", "s3"]),
        ("one", "one", "one", ["one"]),
        ("one", "rows", "one", ["rows", "one"]),
        ("hub", "one", "one", ["hub", "one"]),
        ("one", "one", "s3", ["one", "s3"]),
    ],
)
def test_where_several_have_a_variable_the_store_s_counts_then_the_data_s(
    source: str, data: str, store: str, names: list[str]
) -> None:
    # Kubernetes: of several sources the last one's value is taken.
    spec = with_data(data, from_hub(samples.on_s3(), name=source))
    kept = replace(spec.build.artifact_store, secret_ref=SecretRef(name=store))
    spec = replace(spec, build=replace(spec.build, artifact_store=kept))
    assert builder(spec)["envFrom"] == [{"secretRef": {"name": name}} for name in names]


@pytest.mark.parametrize(
    "uri", ["gs://bucket/releases", "az://container/r", "oci://registry.example:5000/team/releases"]
)
def test_every_store_but_a_claim_is_passed_through(uri: str) -> None:
    store = ArtifactStore(uri=uri, secret_ref=SecretRef(name="keys"))
    spec = replace(samples.SPEC, build=replace(samples.SPEC.build, artifact_store=store))
    assert f"--store={uri}" in builder(spec)["args"]
    assert builder(spec)["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert "persistentVolumeClaim" not in str(samples.job(spec))
