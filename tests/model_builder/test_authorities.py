"""Certificates of an authority of one's own: refused in one sentence without it, taken with it, by every client."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from model_builder import authorities
from model_builder.errors import StorageError
from tests.adapters.certificates import Authority
from tests.model_builder import servers
from tests.model_builder.samples import make_whole

Command = Callable[..., tuple[int, dict[str, Any]]]
VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", authorities.VARIABLE)
#: What leads each client to the server, which is none of theirs: what it answers is refused, but not its certificate.
CLIENTS = {
    f"hf://org/name@{'0' * 40}": {"HF_ENDPOINT": "{url}"},
    "mlflow://name/1": {"MLFLOW_TRACKING_URI": "{url}"},
    "gs://bucket/key": {"STORAGE_EMULATOR_HOST": "{url}"},
    "az://container/key": {
        "AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=Yg==;BlobEndpoint={url}/a",
    },
}
FETCH = """
import sys
from pathlib import Path
from model_builder import authorities, errors, remote
with authorities.joined():
    try:
        remote.fetch(sys.argv[1], to=Path(sys.argv[2]), limit=1, where="test")
    except errors.BuildError as error:
        print(error.reason, error)
"""


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority.made(tmp_path_factory.mktemp("private") / "ca")
    made.sign("server", address="127.0.0.1")
    made.sign("registry", address="127.0.0.2")
    return made


@pytest.fixture(scope="module")
def bundle(authority: Authority) -> str:
    return str(authority.folder / "ca.crt")


class _Nothing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[str]:
    """A server whose certificate only the test's authority signed."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Nothing) as made:
        made.socket = authority.server(clients=False).wrap_socket(made.socket, server_side=True)
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield f"https://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


def asked(url: str) -> str | None:
    """Ask as our own client of registries does; the sentence of a refusal."""
    try:
        urllib.request.urlopen(url).close()
    except urllib.error.HTTPError as error:
        error.close()  # the handshake went well
    except urllib.error.URLError as error:
        return str(authorities.refused(error, place="the registry r"))
    return None


def test_a_server_of_one_s_own_authority_is_refused_without_its_certificate(server: str) -> None:
    with authorities.joined():
        said = asked(server)
    assert said is not None
    assert "the certificate of the registry r is not trusted (self-signed certificate" in said
    assert "build.caBundle" in said


def test_a_server_of_one_s_own_authority_is_reached_with_its_certificate(
    server: str, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(authorities.VARIABLE, bundle)
    with authorities.joined():
        assert asked(server) is None
    assert asked(server) is not None
    assert not set(VARIABLES[:3]) & set(os.environ)


@pytest.mark.parametrize("name", VARIABLES[:3])
def test_what_was_trusted_before_stays_trusted(
    name: str, server: str, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority.made(tmp_path / "other").folder / "ca.crt"
    monkeypatch.setenv(name, bundle)
    monkeypatch.setenv(authorities.VARIABLE, str(other))
    with authorities.joined():
        assert asked(server) is None
        public = Path(os.environ["SSL_CERT_FILE"]).read_text()
    assert other.read_text() in public
    assert os.environ[name] == bundle
    assert public.count("BEGIN CERTIFICATE") > 50  # those of the system or of certifi


def test_a_certificate_for_another_host_needs_no_authority(
    server: str, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(authorities.VARIABLE, bundle)
    with authorities.joined():
        said = asked(server.replace("127.0.0.1", "localhost"))
    assert said is not None
    assert "Hostname mismatch" in said
    assert said.endswith("renew it, or use an address that it is for")


@pytest.mark.parametrize("content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_bundle_that_is_none_is_told_before_anything_begins(
    content: str | None, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv(authorities.VARIABLE, str(file))
    code, told = command("push", tmp_path, "oci://registry.example/team/releases")
    assert (code, told["error"]["reason"]) == (5, "CaBundleMissing")
    assert "the ConfigMap that build.caBundle names must exist and have ca.crt" in told["error"]["message"]


def test_another_trouble_is_not_called_one_of_certificates() -> None:
    assert authorities.refused(StorageError("the registry is gone"), place="the registry") is None


@pytest.mark.deep
@pytest.mark.parametrize("uri", CLIENTS)
def test_every_client_reads_the_joined_file(uri: str, server: str, bundle: str, tmp_path: Path) -> None:
    leading = {name: value.format(url=server) for name, value in CLIENTS[uri].items()}
    for named, refused in ({}, True), ({authorities.VARIABLE: bundle}, False):
        command = [sys.executable, "-c", FETCH, uri, str(tmp_path / "fetched")]
        environment = {**os.environ, **leading, **named}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert ("build.caBundle" in done.stdout) == refused, done.stdout + done.stderr


# --- against real servers: a process of its own for each command, since clients read the variables once --------------


def run(*arguments: object, environment: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "model_builder", *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def oci_store(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    # At this address registries are spoken to as at any other but 127.0.0.1: with https.
    certificate = (authority.folder / "registry.crt", authority.folder / "registry.key")
    with servers.registry(tmp_path_factory.mktemp("registry"), address="127.0.0.2", certificate=certificate) as host:
        yield f"oci://{host}/team/releases", {}


@pytest.fixture(scope="module")
def s3_store(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    certificate = (authority.folder / "server.crt", authority.folder / "server.key")
    with servers.s3(tmp_path_factory.mktemp("s3"), certificate=certificate) as server:
        (server.buckets / "models").mkdir()
        yield "s3://models/releases", server.environment


@pytest.mark.real
@pytest.mark.parametrize("kind", ["oci", "s3"])
def test_a_store_of_one_s_own_authority(kind: str, request: pytest.FixtureRequest, bundle: str, tmp_path: Path) -> None:
    store, environment = request.getfixturevalue(f"{kind}_store")
    folder, digest = make_whole(tmp_path / "artifact")
    code, told = run("push", folder, store, environment=environment)
    assert (code, told["error"]["reason"]) == (5, "CertificateUntrusted")
    assert "give its authority in ca.crt of the ConfigMap of build.caBundle" in told["error"]["message"]
    trusting = {**environment, authorities.VARIABLE: bundle}
    code, told = run("push", folder, store, environment=trusting)
    assert (code, told.get("error")) == (0, None)
    pull = ("pull", "--uri", told["uri"], "--digest", digest, "--model", "m", "--to", tmp_path / "models")
    code, told = run(*pull, environment=trusting)
    assert (code, told.get("error")) == (0, None)
    assert (tmp_path / "models/m/1/model.onnx").is_file()
