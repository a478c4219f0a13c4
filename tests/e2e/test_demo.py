"""The whole demo on a cluster that exists, with shorter times: every act ends as told, and no request is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster.api import Cluster
from localcluster.demo.settings import NAMESPACE
from localcluster.demo.stage import IMAGES

pytestmark = pytest.mark.e2e

_ROOT = Path(__file__).parents[2]
_LONGEST_S = 1500


def play(cluster: Cluster, *options: str) -> subprocess.CompletedProcess[str]:
    context = str(json.loads(cluster.kubeconfig.read_text())["current-context"])
    command = [sys.executable, "-m", "localcluster.demo", "--context", context]
    return subprocess.run(
        [*command, "--gateway-address", cluster.gateway_address, *options],
        cwd=_ROOT,
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )


def test_every_act_ends_as_told_and_nothing_is_lost(full_cluster: Cluster, tmp_path: Path) -> None:
    for image in IMAGES:
        full_cluster.load(image)
    done = play(full_cluster, "--interval", "3", "--bake", "10", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = json.loads((tmp_path / "demo.json").read_text())
    assert numbers["ok"]
    assert numbers["requests"]["lost"] == 0
    assert numbers["requests"]["byVersion"]["v4"]["failed"] > 0
    assert (tmp_path / "demo.png").stat().st_size > 20_000
    namespace = full_cluster.kubectl("get", "namespace", NAMESPACE, "-o", "jsonpath={.status.phase}", check=False)
    assert namespace in ("", "Terminating")


def test_a_namespace_that_is_there_already_is_left_alone(full_cluster: Cluster, tmp_path: Path) -> None:
    full_cluster.kubectl("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=120s")
    full_cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        done = play(full_cluster, "--out", str(tmp_path))
        assert done.returncode == 1
        assert f"has a namespace '{NAMESPACE}' already" in done.stderr
        assert full_cluster.kubectl("get", "namespace", NAMESPACE, "-o", "jsonpath={.status.phase}") == "Active"
    finally:
        full_cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")
