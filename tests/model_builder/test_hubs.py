"""Models and data from an MLflow registry (a real server) and from the Hugging Face hub.

There is no server of the hub to install, so its client talks to one of our own here, which serves a folder by the few
routes that a download needs. What the real hub does beyond them is not tried.
"""

import hashlib
import http.server
import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from model_builder import data, remote, sources
from model_builder.architectures import REGISTRY
from model_builder.data import Data
from model_builder.errors import BadData, StorageError
from model_builder.sources import Source
from tests.model_builder import servers
from tests.model_builder.conftest import run_build, spec
from tests.model_builder.test_data import table

pytestmark = pytest.mark.real
REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Files by repository; whoever has no token sees no private one."""

    files: dict[str, dict[str, bytes]]
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, *, token: str | None) -> tuple[int, dict[str, str], bytes]:
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) < 6:
            return 404, {}, b"{}"
        if parts[0] == "api":
            name, revision = "/".join(parts[2:4]), parts[5]
            repository = name if parts[1] == "models" else f"datasets/{name}"
        else:
            at = parts.index("resolve")
            repository, revision, file = "/".join(parts[:at]), parts[at + 1], "/".join(parts[at + 2 :])
        if repository == "org/private" and token != "Bearer hf_right":
            return 401, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if repository not in self.files:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if revision != REVISION:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        content = self.files[repository]
        if parts[0] == "api":
            if parts[4] == "tree":
                listed = [{"type": "file", "path": n, "size": len(raw), "oid": "0" * 40} for n, raw in content.items()]
                return 200, {"Content-Type": "application/json"}, json.dumps(listed).encode()
            siblings = [{"rfilename": name, "size": len(raw)} for name, raw in content.items()]
            told = {"id": repository, "sha": REVISION, "siblings": siblings, "private": False, "tags": []}
            return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()
        raw = content[file]
        return 200, {"X-Repo-Commit": REVISION, "ETag": f'"{hashlib.sha1(raw).hexdigest()}"'}, raw


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    served = Hub(files={})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            served.asked.append(f"{self.command} {path}")
            status, headers, body = served.answer(path, token=self.headers.get("Authorization"))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that the standard library looks for

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        point_to(served.url, monkeypatch)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        yield served
        server.shutdown()


def point_to(url: str, monkeypatch: pytest.MonkeyPatch, *, token: str | None = None) -> None:
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)


def weights(path: Path) -> bytes:
    save_file(REGISTRY["digits-cnn"]().network.state_dict(), path)
    return path.read_bytes()


def test_a_model_of_the_hub_is_read_at_its_revision(hub: Hub, tmp_path: Path) -> None:
    hub.files["org/digits"] = {"model.safetensors": weights(tmp_path / "x"), "README.md": b"# digits", "x.pkl": b"evil"}
    source = Source(uri=f"hf://org/digits@{REVISION}")
    sources.check(source)
    made = sources.load(source, seed=0, workspace=tmp_path / "work")
    assert made.digest == "sha256:" + hashlib.sha256(hub.files["org/digits"]["model.safetensors"]).hexdigest()
    fetched = [path for path in hub.asked if "/resolve/" in path]
    assert fetched
    assert all(REVISION in path for path in fetched)


@pytest.mark.deep
def test_a_build_fetches_its_source_once(hub: Hub, tmp_path: Path) -> None:
    hub.files["org/digits"] = {"model.safetensors": weights(tmp_path / "x")}
    uri = f"hf://org/digits@{REVISION}"

    def asked() -> list[str]:
        return sorted(path for path in hub.asked if "org/digits" in path)

    remote.fetch(uri, to=tmp_path / "alone", limit=10**7, where="test")
    alone = asked()
    run_build(spec(source={"uri": uri}, gates=[]), out=tmp_path / "first", cache=tmp_path / "cache")
    assert asked() == sorted([*alone, *alone])
    run_build(spec(source={"uri": uri}, gates=[]), out=tmp_path / "again", cache=tmp_path / "cache")
    assert asked() == sorted([*alone, *alone])  # what a revision names never changes


def test_one_file_of_the_hub_is_fetched_alone(hub: Hub, tmp_path: Path) -> None:
    hub.files["org/two"] = {"a/model.safetensors": weights(tmp_path / "x"), "other.bin": b"x" * 10_000}
    uri = f"hf://org/two@{REVISION}/a/model.safetensors"
    path = remote.fetch(uri, to=tmp_path / "to", limit=10**7, where="test")
    assert path.read_bytes() == hub.files["org/two"]["a/model.safetensors"]
    assert not (tmp_path / "to/other.bin").exists()
    with pytest.raises(BadData, match=r"has .* bytes, allowed are 100"):
        remote.fetch(uri, to=tmp_path / "to", limit=100, where="test")
    with pytest.raises(BadData, match="has no file 'absent'"):
        remote.fetch(f"hf://org/two@{REVISION}/absent", to=tmp_path / "to", limit=100, where="test")


def test_data_come_from_the_hub_as_well(hub: Hub, tmp_path: Path) -> None:
    hub.files["datasets/org/table"] = {"train.csv": "\n".join(table()).encode()}
    section = Data(
        name="own",
        format="Csv",
        uri=f"hf://datasets/org/table@{REVISION}/train.csv",
        columns=("length", "width"),
    )
    data.check(section)
    assert len(data.load(section, workspace=tmp_path / "work").train.rows) == 42


def test_what_the_hub_does_not_give_is_explained(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files["org/private"] = {"x.safetensors": b"x"}
    hub.files["org/there"] = {"x.safetensors": b"x"}
    for uri in (f"hf://org/absent@{REVISION}", f"hf://org/there@{'a' * 40}", f"hf://org/private@{REVISION}"):
        with pytest.raises(StorageError, match="at that revision, or hides it: check name, revision and HF_TOKEN"):
            remote.fetch(uri, to=tmp_path / "to", limit=10, where="test")
    point_to(hub.url, monkeypatch, token="hf_right")
    uri = f"hf://org/private@{REVISION}/x.safetensors"
    assert remote.fetch(uri, to=tmp_path / "to", limit=10, where="test").read_bytes() == b"x"
    point_to("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(StorageError, match="check HF_ENDPOINT and the network") as caught:
        remote.fetch(uri, to=tmp_path / "other", limit=10, where="test")
    assert caught.value.reason == "StoreUnreachable"


# --- MLflow ---


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with servers.mlflow(tmp_path_factory.mktemp("mlflow")) as environment:
        yield environment


@pytest.fixture
def mlflow(mlflow_server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name, value in mlflow_server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return mlflow_server["MLFLOW_TRACKING_URI"]


def post(server: str, path: str, **body: Any) -> Any:
    request = urllib.request.Request(
        f"{server}/api/2.0/mlflow/{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def register(server: str, name: str, files: dict[str, bytes]) -> None:
    """By the server's own API: what is read through the client was not written by it."""
    run = post(server, "runs/create", experiment_id="0")["run"]["info"]
    for path, content in files.items():
        prefix = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
        url = f"{server}/api/2.0/mlflow-artifacts/artifacts/{prefix}/model/{path}"
        urllib.request.urlopen(urllib.request.Request(url, data=content, method="PUT")).close()
    post(server, "registered-models/create", name=name)
    post(server, "model-versions/create", name=name, source=f"{run['artifact_uri']}/model", run_id=run["run_id"])


def test_a_version_of_a_registered_model_is_read(mlflow: str, tmp_path: Path) -> None:
    content = weights(tmp_path / "x")
    register(mlflow, "digits", {"data/model.safetensors": content, "MLmodel": b"flavors: {}"})
    source = Source(uri="mlflow://digits/1")
    sources.check(source)
    made = sources.load(source, seed=0, workspace=tmp_path / "work")
    assert made.digest == "sha256:" + hashlib.sha256(content).hexdigest()
    path = remote.fetch("mlflow://digits/1/MLmodel", to=tmp_path / "one", limit=100, where="test")
    assert path.read_bytes() == b"flavors: {}"
    with pytest.raises(BadData, match=r"has .* bytes, allowed are 100"):
        remote.fetch("mlflow://digits/1", to=tmp_path / "to", limit=100, where="test")
    with pytest.raises(BadData, match="has 11 bytes, allowed are 10"):
        remote.fetch("mlflow://digits/1/MLmodel", to=tmp_path / "to", limit=10, where="test")


def test_a_pickled_model_of_a_registry_is_refused(mlflow: str, tmp_path: Path) -> None:
    register(mlflow, "pickled", {"data/model.pkl": b"evil", "MLmodel": b"flavors: {}"})
    with pytest.raises(BadData, match=r"but has only model\.pkl, which can run code"):
        sources.load(Source(uri="mlflow://pickled/1"), seed=0, workspace=tmp_path / "work")


def test_what_a_registry_does_not_give_is_explained(
    mlflow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="there is nothing at mlflow://absent/1") as caught:
        remote.fetch("mlflow://absent/1", to=tmp_path / "to", limit=100, where="test")
    assert caught.value.reason == "ArtifactMissing"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="check MLFLOW_TRACKING_URI and the network") as caught:
        remote.fetch("mlflow://digits/1", to=tmp_path / "to", limit=100, where="test")
    assert caught.value.reason == "StoreUnreachable"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(StorageError, match="set MLFLOW_TRACKING_URI to its address"):
        remote.fetch("mlflow://digits/1", to=tmp_path / "to", limit=100, where="test")
