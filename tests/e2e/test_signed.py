"""Signed releases in an object store, on a real node: what the key vouches for is served, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from modelrelease.domain import naming
from modelrelease.domain.commands import Verb
from modelrelease.domain.status import Condition, Outcome, Status

from localcluster.api import Cluster
from localcluster.existing import ExistingCluster
from tests.e2e.conftest import NextDelay
from tests.e2e.releases import release
from tests.e2e.remote import Bucket, Keys, bucket, config_map, new_keys, secret
from tests.e2e.stand import Stand, condition, failures, told

pytestmark = pytest.mark.e2e

NAME = "signed"
_OURS, _THEIRS = "ours", "theirs"
_MODEL = "repository/digits/1/model.onnx"


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A release of its own: signed by us, kept in the bucket, served to whoever trusts us."""

    stand: Stand
    bucket: Bucket
    keys: dict[str, Keys]

    def version(self, delay: int, *, signer: str = _OURS) -> None:
        """Ask for a version."""
        made = release(
            namespace=self.stand.namespace,
            name=NAME,
            delay=delay,
            build__artifactStore={"uri": self.bucket.uri, "secretRef": {"name": "bucket"}},
            build__signing={"secretRef": {"name": signer}},
            serving__verification={"configMapRef": {"name": "trusted"}},
            # Room for what goes, what comes and a second pod, beside the release of all these tests.
            serving__resources__requests__cpu="50m",
            steps=(50,),
        )
        self.stand.apply(made)

    def trust(self, *signers: str) -> None:
        """Say whose signatures count."""
        text = "".join(self.keys[signer].public for signer in signers)
        self.stand.apply(config_map("trusted", namespace=self.stand.namespace, values={"public-key.pem": text}))

    def scale(self, replicas: int) -> None:
        """Ask for more or fewer pods of what is served: the same revision."""
        patch = {"spec": {"serving": {"replicas": replicas}}}
        self.stand.kubectl("patch", "modelrelease", NAME, "--type=merge", "-p", json.dumps(patch))

    def rejected(self) -> Status:
        """Wait until the release has refused what the spec asks for, without traffic."""
        end = self.stand.until(lambda s: s.rejected, what="the end of what can't be trusted", name=NAME, within=150)
        assert end.history[0].outcome is Outcome.FAILED and end.history[0].peak_weight == 0, told(end)
        assert condition(end, "Stalled").status == "True", "a person is needed"
        return end

    def again(self) -> Status:
        """Try the same once more, and wait until there is nothing left to do."""
        self.stand.settled(name=NAME)
        self.stand.order(Verb.RETRY, name=NAME)
        self.stand.until(lambda s: s.candidate, what="another try", name=NAME)
        return self.stand.settled(name=NAME)

    def serving(self) -> Status:
        """Check that the release answers over both protocols, and return its status."""
        self.stand.served(NAME)
        return self.stand.status(NAME)


@pytest.fixture(scope="module")
def signed(home: Stand, full_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    """The first version: built, signed, stored, verified and stable."""
    if isinstance(full_cluster, ExistingCluster):
        pytest.skip("runs an object store on the node: only on a local cluster")
    keys = {signer: new_keys() for signer in (_OURS, _THEIRS)}
    with bucket(full_cluster, folder=tmp_path_factory.mktemp("store")) as place:
        made = Signed(stand=home, bucket=place, keys=keys)
        home.apply(secret("bucket", namespace=home.namespace, values=place.environment))
        for signer, pair in keys.items():
            home.apply(secret(signer, namespace=home.namespace, values={"private-key.pem": pair.private}))
        made.trust(_OURS)
        made.version(1)
        home.settled(name=NAME, within=300)
        yield made
        home.kubectl("delete", "modelrelease", NAME, "--timeout=60s")


def test_a_signed_artifact_comes_from_the_bucket_is_verified_and_answers(signed: Signed) -> None:
    stable = signed.serving().stable
    assert stable is not None
    files = {path.name for path in signed.bucket.stored(stable.artifact.uri).iterdir()}
    assert {"manifest.json", "model.sig"} <= files
    assert [answer["signed"] for answer in pulled(signed.stand, stable.revision)] == [True], (
        "its one pod has verified what it serves"
    )
    with signed.stand.traffic(name=NAME) as recorder:
        signed.stand.until(lambda _: len(recorder.requests) > 50, what="answers", name=NAME, within=20)
    assert not failures(recorder)
    assert {request.revision for request in recorder.requests} == {stable.revision}


def test_what_somebody_else_signed_is_not_served_until_their_key_is_trusted(signed: Signed, delays: NextDelay) -> None:
    before, delay = signed.serving().stable, delays()
    assert before is not None
    signature = signed.bucket.stored(before.artifact.uri) / "model.sig"
    whole = signature.read_bytes()
    with signed.stand.traffic(name=NAME) as recorder:
        signed.version(delay, signer=_THEIRS)
        end = signed.rejected()
        assert end.rejected is not None and end.stable == before
        assert end.rejected.reason == "SignatureMismatch", told(end)
        assert "was signed with another key" in end.message and "add the signer's public key" in end.message
        assert signature.read_bytes() == whole, "what stable starts from is as it was, though the model is the same"
        assert {request.revision for request in recorder.requests} == {before.revision}
        signed.trust(_OURS, _THEIRS)
        done = signed.again()
    assert done.stable is not None and done.stable.version == f"delay-{delay}", told(done)
    assert done.stable.artifact.digest == before.artifact.digest
    assert not failures(recorder)


def test_one_flipped_byte_in_the_bucket_keeps_new_pods_out_names_the_file_and_can_be_undone(signed: Signed) -> None:
    before = signed.serving().stable
    assert before is not None
    model = signed.bucket.stored(before.artifact.uri) / _MODEL
    whole = model.read_bytes()
    with signed.stand.traffic(name=NAME) as recorder:
        model.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
        try:
            signed.scale(2)
            held = signed.stand.until(lambda s: _MODEL in ready(s).message, what="a refused pod", name=NAME)
            assert (ready(held).status, ready(held).reason) == ("True", "Degraded")
            assert "serves with 1 of 2 pods (ArtifactCorrupt)" in ready(held).message
            assert "push the same artifact, or restore it" in ready(held).message
        finally:
            model.write_bytes(whole)
        signed.stand.until(lambda s: ready(s).reason == "Serving", what="a pod that tried again", name=NAME)
        deployment = f"deployment/{naming.deployment(NAME, before.revision)}"
        signed.stand.kubectl("rollout", "status", deployment, "--timeout=60s")
    assert signed.stand.status(NAME).stable == before
    assert not failures(recorder)


def ready(status: Status) -> Condition:
    """Return the condition Ready."""
    return condition(status, "Ready")


def pulled(stand: Stand, revision: str) -> list[dict[str, Any]]:
    """Return what the pods of a revision said when they had fetched the artifact."""
    selector = f"{naming.LABEL_RELEASE}={NAME},{naming.LABEL_REVISION}={revision}"
    pods = json.loads(stand.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
    statuses = [status for pod in pods for status in pod["status"].get("initContainerStatuses", ())]
    return [json.loads(status["state"]["terminated"]["message"]) for status in statuses]
