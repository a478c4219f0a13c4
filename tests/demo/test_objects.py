"""What the demo applies, and what it says about a cluster in trouble."""

import pytest
from modelrelease.domain import codec, naming
from modelrelease.domain.spec import Spec

from localcluster.demo import diagnosis
from localcluster.demo.acts import acts
from localcluster.demo.releases import V1, V2, V3, V4, VERSIONS, release
from localcluster.demo.settings import Settings
from localcluster.errors import ClusterError


def spec(version, **settings) -> Spec:
    return codec.decode(Spec, release(version=version, settings=Settings(**settings))["spec"], "spec")


def test_every_version_is_a_release_of_its_own_and_the_revert_is_v2_again():
    revisions = {naming.revision(spec(version)) for version in VERSIONS}
    artifacts = {naming.artifact_key(spec(version)) for version in VERSIONS}
    assert len(revisions) == len(artifacts) == len(VERSIONS)
    last = acts(Settings())[-1]
    assert last.version is V2


def test_only_the_model_and_how_it_is_served_differ():
    rests = []
    for version in (V1, V2, V3, V4):
        body = release(version=version, settings=Settings())["spec"]
        rests.append({key: body[key] for key in ("traffic", "rollout")})
    assert all(rest == rests[0] for rest in rests)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rate": 5.0}, "only 0.5 a second, too few for a verdict within a minute: raise --rate to 20 or more"),
        ({"context": "other"}, "--context needs --gateway-address"),
    ],
)
def test_settings_that_can_not_work_are_refused_in_a_sentence(settings, said):
    with pytest.raises(ClusterError, match=said):
        Settings(**settings)


def test_the_estimate_of_the_whole_demo_is_a_few_minutes():
    assert 120 < sum(act.expected for act in acts(Settings())) < 900


def test_pods_that_are_not_ready_say_why():
    pods = [
        {
            "metadata": {"name": "good"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        },
        {"metadata": {"name": "done"}, "status": {"phase": "Succeeded"}},
        {
            "metadata": {"name": "pulling"},
            "status": {
                "phase": "Pending",
                "containerStatuses": [
                    {"name": "triton", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
                ],
            },
        },
        {
            "metadata": {"name": "waiting"},
            "status": {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "message": "Insufficient nvidia.com/gpu"}],
            },
        },
    ]
    assert list(diagnosis.unready(pods)) == [
        "pulling is Pending: triton ErrImagePull no such image",
        "waiting is Pending: not scheduled: Insufficient nvidia.com/gpu",
    ]


def test_a_release_is_told_with_what_it_waits_for():
    body = {
        "status": {
            "phase": "Building",
            "message": "version v1",
            "waitingFor": {"what": "the build Job", "since": "2026-01-01T00:00:00Z", "who": "the cluster"},
            "conditions": [{"type": "Ready", "status": "False", "reason": "Building", "message": "not yet"}],
        }
    }
    assert list(diagnosis.describe_release(body)) == [
        "Building: version v1",
        "waits for the build Job since 2026-01-01T00:00:00Z (the cluster)",
        "Ready=False Building: not yet",
    ]
    assert list(diagnosis.describe_release({})) == ["it does not exist"]
    assert list(diagnosis.describe_release({"spec": {}})) == ["not seen by the operator yet"]


def test_the_last_events_are_told_oldest_first():
    events = [
        {
            "lastTimestamp": f"2026-01-01T00:00:{second:02d}Z",
            "type": "Normal",
            "reason": f"R{second}",
            "involvedObject": {"kind": "Pod", "name": "p"},
            "message": "a\nb",
        }
        for second in reversed(range(20))
    ]
    told = list(diagnosis.describe_events(events))
    assert told[-1] == "Normal R19 Pod p: a b"
    assert len(told) == 12
