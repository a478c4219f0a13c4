"""What a signed release in a remote store needs around it: an object store that pods reach, and keys."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from localcluster import network
from localcluster.api import Cluster
from tests.model_builder.servers import install_go, running

Object = dict[str, Any]

_USER, _PASSWORD = "tester", "tester-secret"
_FREE_PORT = "import socket; s = socket.socket(); s.bind(('', 0)); print(s.getsockname()[1])"
_ANSWERS = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
_STARTS_S = 30


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket of a running S3 server."""

    uri: str
    folder: Path
    """Where its objects lie, as plain files."""
    environment: dict[str, str]
    """What leads a pod there: the content of a Secret."""

    def stored(self, uri: str) -> Path:
        """Return the folder of an artifact in the bucket."""
        assert uri.startswith(f"{self.uri}/"), uri
        return self.folder / uri.removeprefix(f"{self.uri}/")


@contextmanager
def bucket(cluster: Cluster, *, folder: Path) -> Iterator[Bucket]:
    """Run versitygw at the node's address: pods reach nothing of the host beyond the cluster's own network."""
    binary = install_go("versitygw", package="github.com/versity/versitygw/cmd/versitygw")
    objects = folder / "buckets" / "artifacts"
    objects.mkdir(parents=True)
    port = cluster.exec_in_namespaces(sys.executable, "-c", _FREE_PORT).strip()
    place = f"{network.NODE_ADDRESS}:{port}"
    account = ["--access", _USER, "--secret", _PASSWORD]
    server = [str(binary), "--port", place, "--quiet", *account, "posix", str(objects.parent)]
    # What enters the namespaces waits for the server and hands no signal on: the server ends with it.
    command = cluster.enter(["setpriv", "--pdeathsig", "KILL", *server])
    log = folder / "versitygw.log"
    with running(command, environment={}, log=log) as process:
        _wait(cluster, port=port, process=process, log=log)
        environment = {
            "AWS_ENDPOINT_URL": f"http://{place}",
            "AWS_ACCESS_KEY_ID": _USER,
            "AWS_SECRET_ACCESS_KEY": _PASSWORD,
        }
        yield Bucket(uri=f"s3://{objects.name}", folder=objects, environment=environment)


def _wait(cluster: Cluster, *, port: str, process: subprocess.Popen[bytes], log: Path) -> None:
    look = cluster.enter([sys.executable, "-c", _ANSWERS, network.NODE_ADDRESS, port])
    end = time.monotonic() + _STARTS_S
    while subprocess.run(look, capture_output=True, check=False).returncode != 0:
        assert process.poll() is None and time.monotonic() < end, f"the store does not answer:\n{log.read_text()}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Keys:
    """The two halves of a key, in PEM."""

    private: str
    public: str


def new_keys() -> Keys:
    """Make a key that signs."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Keys(private=private.decode(), public=public.decode())


def secret(name: str, *, namespace: str, values: dict[str, str]) -> Object:
    """Return a Secret."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def config_map(name: str, *, namespace: str, values: dict[str, str]) -> Object:
    """Return a ConfigMap."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": values}
