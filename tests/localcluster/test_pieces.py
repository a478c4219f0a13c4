"""The small parts of the local cluster that need no cluster."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from localcluster import api, certs, cli, configuration, doors, host, kube, parts
from localcluster.bringup import manifests
from localcluster.bringup.lock import locked
from localcluster.errors import ClusterError
from localcluster.inside import provisioner, supervisor
from localcluster.layout import Layout
from localcluster.plan import Part, Plan
from localcluster.progress import Progress
from localcluster.record import Options, Record, Wish


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a/b", "..", "x" * 33])
def test_a_bad_cluster_name_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(ClusterError, match="lower-case letters"):
        Layout.of(name=name)


def test_state_and_cache_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MODELRELEASE_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Layout.of(name="a").root == tmp_path / "modelrelease-localcluster" / "a"
    monkeypatch.setenv("MODELRELEASE_STATE", str(tmp_path / "other"))
    assert Layout.of(name="a").root == tmp_path / "other" / "a"


def test_a_lock_that_was_removed_while_it_was_waited_for_is_taken_anew(tmp_path: Path) -> None:
    layout, entered = Layout(name="a", root=tmp_path / "a"), threading.Event()

    def second() -> None:
        with locked(layout):
            entered.set()
            assert layout.lock.exists()

    waiting = threading.Thread(target=second)
    with locked(layout):
        waiting.start()
        assert not entered.wait(0.2)
        layout.lock.unlink()
    waiting.join(timeout=5)
    assert entered.is_set()


def test_certificates_verify_and_are_made_only_once(tmp_path: Path) -> None:
    certs.ensure(pki=tmp_path)
    authority = str(tmp_path / "ca.crt")
    for identity in certs.IDENTITIES:
        subprocess.run(["openssl", "verify", "-CAfile", authority, str(tmp_path / f"{identity.file}.crt")], check=True)
    text = subprocess.run(
        ["openssl", "x509", "-in", str(tmp_path / "apiserver.crt"), "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "IP Address:127.0.0.1" in text
    assert "IP Address:10.96.0.1" in text
    before = (tmp_path / "admin.crt").read_bytes()
    certs.ensure(pki=tmp_path)
    assert (tmp_path / "admin.crt").read_bytes() == before


def test_a_kubeconfig_stands_alone_and_names_its_cluster(tmp_path: Path) -> None:
    certs.ensure(pki=tmp_path)
    document = json.loads(certs.kubeconfig(pki=tmp_path, identity="admin", server="https://h:1", name="mine"))
    assert document["current-context"] == "mine"
    assert document["clusters"][0]["cluster"]["server"] == "https://h:1"
    assert str(tmp_path) not in json.dumps(document)


@pytest.mark.parametrize(
    ("kind", "plural"),
    [
        ("Gateway", "gateways"),
        ("GatewayClass", "gatewayclasses"),
        ("EnvoyProxy", "envoyproxies"),
        ("ConfigMap", "configmaps"),
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
    ],
)
def test_kinds_become_the_plural_that_the_api_serves(kind: str, plural: str) -> None:
    assert kube.plural(kind) == plural


def test_paths_of_objects() -> None:
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}}
    assert kube.path_of(deployment) == "/apis/apps/v1/namespaces/n/deployments/a"
    assert kube.path_of({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}) == "/api/v1/nodes/a"


def test_a_plan_survives_being_written(tmp_path: Path) -> None:
    part = Part(name="a", argv=("b", "c"), env={"D": "e"}, after=("f",), probe="g:1", keeps_sockets=True)
    plan = Plan(parts=(part,), sockets={"api": 7})
    plan.write(tmp_path / "plan")
    assert Plan.read(tmp_path / "plan") == plan


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"options": 1, "ports": {}}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "record").write_text(content)
    assert Record.read(tmp_path / "record") is None


def test_what_is_not_asked_for_stays_and_a_cluster_never_shrinks() -> None:
    old = Options(size=parts.FULL, gpus=3, scrape_interval="2s")
    assert Wish(size=parts.CONTROL_PLANE).settle(old) == old
    assert Wish(size=parts.FULL, gpus=0).settle(old) == Options(size=parts.FULL, gpus=0, scrape_interval="2s")
    assert Wish(size=parts.CONTROL_PLANE).settle(None) == Options(size=parts.CONTROL_PLANE)


def test_a_door_keeps_its_port_unless_somebody_took_it() -> None:
    first = doors.listen(size=parts.CONTROL_PLANE, wanted={})["api"]
    port = first.getsockname()[1]
    second = doors.listen(size=parts.CONTROL_PLANE, wanted={"api": port})["api"]
    assert second.getsockname()[1] != port
    for listener in (first, second):
        listener.close()
    third = doors.listen(size=parts.CONTROL_PLANE, wanted={"api": port})["api"]
    assert third.getsockname() == ("127.0.0.1", port)
    third.close()


def test_every_part_waits_only_for_parts_that_are_there() -> None:
    for size in parts.SIZES:
        chosen = parts.parts(size=size, sockets={"api": 3})
        names = {part.name for part in chosen}
        assert len(names) == len(chosen)
        assert all(set(part.after) <= names for part in chosen)


def test_manifests_are_complete() -> None:
    for name in ("node", "gateway"):
        objects = manifests.read(name)
        assert objects
        assert "$" not in json.dumps(objects)


def test_configuration_is_written_for_each_size(tmp_path: Path) -> None:
    layout = Layout(name="a", root=tmp_path)
    certs.ensure(pki=layout.pki)
    configuration.write(layout=layout, size=parts.FULL, runc="/sbin/runc", scrape_interval="2s")
    assert json.loads((layout.config / "kubelet.json").read_text())["cgroupRoot"] == "/modelrelease-a"
    assert json.loads((layout.config / "prometheus.json").read_text())["global"]["scrape_interval"] == "2s"
    assert (layout.config / "resolv.conf").exists()
    configuration.write(layout=layout, size=parts.CONTROL_PLANE, runc="", scrape_interval="2s")
    assert not (layout.config / "resolv.conf").exists()


def _claim(**annotations: str) -> kube.Object:
    return {
        "metadata": {"name": "data", "namespace": "n", "uid": "u-1", "annotations": annotations},
        "spec": {
            "storageClassName": "local-path",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def test_a_volume_is_bound_to_its_claim_and_node(tmp_path: Path) -> None:
    claim = _claim(**{"volume.kubernetes.io/selected-node": "node-a"})
    volume = provisioner.volume_for(claim, folder=tmp_path)
    assert volume["spec"]["claimRef"]["uid"] == "u-1"
    assert volume["spec"]["capacity"] == {"storage": "1Gi"}
    assert "node-a" in json.dumps(volume["spec"]["nodeAffinity"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--gpus", "many"], "not a number of GPUs"),
        (["up", "--scrape-interval", "often"], "not a duration"),
        (["up", "--size", "huge"], "invalid choice"),
    ],
)
def test_bad_options_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert message in capsys.readouterr().err


def test_status_of_a_cluster_that_is_down_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELRELEASE_STATE", str(tmp_path))
    monkeypatch.setattr(host, "privilege", list)
    assert cli.main(["status", "--name", "none", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["up"] is False
    assert cli.main(["--name", "none", "kubectl", "get", "pods", "-o", "wide"]) == 1
    assert "cluster none is not up; bring it up with" in capsys.readouterr().err


def test_without_linux_or_root_one_sentence_names_the_other_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cli.main(["up"]) == 1
    assert "needs Linux" in (said := capsys.readouterr().err)
    assert "CONTEXT=NAME" in said
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert cli.main(["up"]) == 1
    assert "needs root, or sudo without a password" in capsys.readouterr().err


def test_with_sudo_the_environment_that_matters_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\nexit 0\n")
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    prefix = host.privilege()
    assert prefix[:2] == ["sudo", "-n"]
    assert "MODELRELEASE_STATE" in prefix[2]


def test_without_root_the_work_is_done_by_the_same_command_under_sudo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("MODELRELEASE_STATE", str(tmp_path))
    monkeypatch.setattr(host, "privilege", lambda: ["sh", "-c", f'echo "$@" >> {log}; exit ${{FAIL:-0}}', "sudo"])
    with pytest.raises(ClusterError, match="is not up"):  # the stand-in for sudo starts nothing
        api.ensure(name="mine", size=parts.CONTROL_PLANE, gpus=2)
    api.take_down(name="mine", purge=True)
    up, down = log.read_text().splitlines()
    assert up.endswith("-m localcluster --name mine up --size control-plane --gpus 2")
    assert down.endswith("-m localcluster --name mine down --purge")
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(ClusterError, match="failed as root"):
        api.take_down(name="mine")


def test_missing_packages_are_named_where_they_cannot_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "find", lambda command: None if command == "runc" else "/bin/x")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(ClusterError, match="packages are missing: runc;"):
        host.require_packages(size=parts.FULL, progress=Progress(quiet=True))
    host.require_packages(size=parts.CONTROL_PLANE, progress=Progress(quiet=True))


def test_missing_packages_are_installed_by_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    present: set[str] = set()

    def apt(*arguments: str) -> None:
        calls.append(arguments)
        present.add("runc")

    monkeypatch.setattr(host, "find", lambda command: "/bin/x" if command != "runc" or present else None)
    monkeypatch.setattr(host, "_apt", apt)
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/usr/bin/apt-get")
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    host.require_packages(size=parts.FULL, progress=Progress(quiet=True))
    assert calls[0][0] == "update"
    assert calls[1][-1] == "runc"


def test_the_control_socket_is_reached_however_long_its_path_is(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(deep, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/control.sock")
        os.close(directory)
        listener.listen()
        with pytest.raises(TimeoutError):  # nobody answers, but the connection was made
            supervisor.ask(deep / "control.sock", operation="status", timeout=0.2)
