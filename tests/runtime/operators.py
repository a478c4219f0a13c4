"""Operator processes for tests, run on this machine under the account that the manifests make."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from localcluster.api import Cluster

ROOT = Path(__file__).parents[2]
ACCOUNT = "modelrelease-operator"
SYSTEM = "modelrelease-system"


def eventually(check: Callable[[], object], *, what: str, within: float = 30.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within
    while not check():
        assert time.monotonic() < end, f"not within {within:.0f} s: {what}"
        time.sleep(0.05)


def kubeconfig_of(cluster: Cluster, folder: Path) -> Path:
    """Write a kubeconfig with a token of the operator's ServiceAccount."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    token = cluster.kubectl("-n", SYSTEM, "create", "token", ACCOUNT).strip()
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


class OperatorProcess:
    """One operator process."""

    def __init__(self, *, kubeconfig: Path, folder: Path, name: str, arguments: tuple[str, ...] = ()) -> None:
        self.port = _free_port()
        self.log = folder / f"{name}.log"
        command = [sys.executable, "-m", "modelrelease", "--metrics-port", str(self.port), "--puller-image", "p:1"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELRELEASE_")}
        environment |= {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--prometheus-url", "http://127.0.0.1:9", *arguments],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ask(self, path: str) -> tuple[int, str]:
        """Return status and text of the operator's answer; 0 while it does not listen."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def lines(self) -> list[dict[str, Any]]:
        """Return what it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def said(self, text: str) -> bool:
        """Tell whether it has logged a line with this text."""
        return any(text in line["message"] for line in self.lines())

    def await_line(self, text: str, *, within: float = 30.0) -> None:
        """Wait until it has logged a line with this text."""
        eventually(lambda: self.said(text), what=f"{text!r} in {self.log.read_text()}", within=within)

    def end(self, *, within: float = 15.0) -> int:
        """Wait for its end; return its exit status."""
        return self.process.wait(timeout=within)

    def stop(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
