import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model_builder.build import Settings, build
from model_builder.decode import decode
from model_builder.progress import SilentReporter
from model_builder.spec import Spec, resolve
from tests.model_builder import servers

TRAIN = {"pass": "train", "parameters": {"epochs": 2, "learningRate": 0.004}}
QUANTIZE = {"pass": "quantize", "parameters": {"calibrationRows": 64}}


def spec(*recipe: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "model": {"name": "digits", "version": "1"},
        "source": {"uri": "builtin://digits-cnn"},
        "data": {"name": "digits", "seed": 0},
        "recipe": list(recipe),
        **changes,
    }


def run_build(
    raw: dict[str, Any],
    *,
    out: Path,
    store: str | None = None,
    cache: Path | None = None,
    replay: Mapping[str, str] | None = None,
    private_key: Path | None = None,
) -> dict[str, Any]:
    settings = Settings(store=store, cache=cache, replay=replay or {}, private_key=private_key)
    return build(plan=resolve(decode(Spec, raw, where="spec")), out=out, reporter=SilentReporter(), settings=settings)


@dataclass(frozen=True)
class Artifact:
    directory: Path
    result: dict[str, Any]

    @property
    def digest(self) -> str:
        return str(self.result["digest"])

    @property
    def uri(self) -> str:
        return str(self.result["uri"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the trained artifact: the training alone is seconds."""
    for item in items:
        if "artifact" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.deep)


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A small INT8 build, made once; tests that change it work on copies."""
    out = tmp_path_factory.mktemp("artifact") / "out"
    return Artifact(directory=out, result=run_build(spec(TRAIN, QUANTIZE), out=out))


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Triton]:
    with servers.triton(tmp_path_factory.mktemp("triton")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3Server]:
    with servers.s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3_server: servers.S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of the test's own, with the environment that leads there."""
    import boto3

    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    name = f"models-{len(list(s3_server.buckets.iterdir()))}"
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket=name)
    yield name
    client.close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line keeps what it builds in a folder of the test, not in that of the user."""
    monkeypatch.setenv("MODEL_BUILDER_CACHE", str(tmp_path.with_name(tmp_path.name + "-cache")))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run the command line in this process; give its exit code and its last line."""
    import json

    from model_builder.cli import main

    def run(*arguments: object) -> tuple[int, dict[str, Any]]:
        code = main([str(argument) for argument in arguments])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


PYTHON = sys.executable
