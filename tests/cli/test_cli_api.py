"""The command line against a real API server; the status is written by the test in the operator's stead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from modelrelease.cli.cluster import FIELD_MANAGER
from modelrelease.cli.main import main
from modelrelease.domain.naming import GROUP, PLURAL, VERSION

from localcluster.api import Cluster
from tests.api.case import SAMPLES, Case, minimal
from tests.api.status_sample import STATUS

pytestmark = pytest.mark.api
Output = pytest.CaptureFixture[str]


class Digits:
    """One release on the server."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.objects, self.namespace = client.CustomObjectsApi(api), namespace

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return getattr(self.objects, method)(GROUP, VERSION, self.namespace, PLURAL, *arguments, **options)

    def status(self, **change: Any) -> None:
        """Write a status as the operator would; None takes a field away."""
        self.call("patch_namespaced_custom_object_status", "digits", {"status": change})

    def run(self, *arguments: str) -> int:
        return main([*arguments, "-n", self.namespace])


@pytest.fixture
def digits(
    modelrelease_api: client.ApiClient, control_plane: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Digits]:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(control_plane.kubeconfig))
    monkeypatch.setattr("modelrelease.cli.main._taken_up", lambda *_: True)  # no operator runs here
    core = client.CoreV1Api(modelrelease_api)
    namespace = core.create_namespace({"metadata": {"generateName": "cli-"}}).metadata.name
    release = Digits(modelrelease_api, namespace)
    release.call("create_namespaced_custom_object", minimal())
    release.status(**STATUS | {"observedGeneration": 1, "rejected": None})
    yield release
    core.delete_namespace(namespace)


def test_status(digits: Digits, capsys: Output) -> None:
    assert digits.run("status", "digits") == 0
    assert "approval of step 3" in capsys.readouterr().out


def test_approve_is_an_annotation_of_a_manager_that_flux_leaves_alone(digits: Digits) -> None:
    assert digits.run("approve", "digits") == 0
    meta = digits.call("get_namespaced_custom_object", "digits")["metadata"]
    assert meta["annotations"]["modelrelease.dev/approve"].startswith("9876543210/1/2/")
    assert meta["generation"] == 1
    assert FIELD_MANAGER in [entry["manager"] for entry in meta["managedFields"]]
    assert not FIELD_MANAGER.startswith("kubectl")


def test_pause_and_resume(digits: Digits) -> None:
    assert digits.run("pause", "digits") == 0
    assert digits.call("get_namespaced_custom_object", "digits")["spec"]["suspend"] is True
    assert digits.run("resume", "digits") == 0
    assert digits.run("resume", "digits") == 1


def test_an_unknown_release(digits: Digits, capsys: Output) -> None:
    assert digits.run("status", "letters") == 2
    assert f"there is no ModelRelease letters in namespace {digits.namespace}" in capsys.readouterr().err


def test_an_unknown_context(digits: Digits, capsys: Output) -> None:
    assert digits.run("status", "digits", "--context", "nowhere") == 2
    assert "no cluster to talk to" in capsys.readouterr().err


def test_a_server_that_does_not_answer(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    from kubernetes.config import kube_config

    settings = yaml.safe_load(Path(kube_config.KUBE_CONFIG_DEFAULT_LOCATION).read_text())
    settings["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    assert digits.run("status", "digits") == 2
    assert "the API server does not answer" in capsys.readouterr().err


def test_lint_asks_the_server(digits: Digits, tmp_path: Path, capsys: Output) -> None:
    good, bad = str(SAMPLES / "digits-minimal.yaml"), tmp_path / "bad.yaml"
    assert digits.run("lint", "-f", good) == 0
    twice = {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}
    bad.write_text(yaml.safe_dump(Case("", {"spec.build.resources": twice}).object()))
    assert digits.run("lint", "-f", str(bad)) == 1
    assert "a request is above its limit" in capsys.readouterr().out
    renamed = Case("", {"spec.model.name": "letters"}).object()
    bad.write_text(yaml.safe_dump(renamed))
    assert digits.run("lint", "-f", str(bad)) == 1
    assert 'model.name can not be changed from "digits" to "letters"' in capsys.readouterr().out
    assert digits.call("get_namespaced_custom_object", "digits")["spec"]["model"]["name"] == "digits"


def test_watch_follows_changes_to_the_end(digits: Digits, capsys: Output) -> None:
    codes: list[int] = []
    watcher = threading.Thread(target=lambda: codes.append(digits.run("watch", "digits")))
    watcher.start()
    digits.status(candidate=None, waitingFor=None, step=None, phase="Ready", message="version 2026.11.1 serves")
    watcher.join(timeout=30)
    assert codes == [0]
    assert "version 2026.11.1 serves" in capsys.readouterr().out


def test_watch_ends_badly_when_the_release_is_rejected(digits: Digits) -> None:
    codes: list[int] = []
    watcher = threading.Thread(target=lambda: codes.append(digits.run("watch", "digits")))
    watcher.start()
    digits.status(candidate=None, waitingFor=None, rejected=STATUS["rejected"])
    watcher.join(timeout=30)
    assert codes == [1]


def test_following_yields_now_each_change_and_the_end(digits: Digits) -> None:
    from modelrelease.cli.cluster import Cluster as Reached

    seen = Reached(context=None, namespace=digits.namespace).follow("digits")
    first = next(seen)
    assert first is not None
    assert first["status"]["step"] == "3/4"
    digits.status(step="4/4")
    second = next(seen)
    assert second is not None
    assert second["status"]["step"] == "4/4"
    digits.call("delete_namespaced_custom_object", "digits")
    assert next(seen) is None
