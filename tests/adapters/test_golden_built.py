"""A build with two outputs, served by a real Triton, and asked by the operator as it asks a release."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from modelrelease.adapters.triton import GoldenProber
from modelrelease.domain.counts import GoldenCheck
from modelrelease.domain.observed import BuildResult, Contract, Meta, Record, Tensor
from modelrelease.domain.status import Artifact

from model_builder.golden_parameter import pack
from model_builder.progress import SilentReporter
from model_builder.pull import pull
from model_builder.triton import Serving
from tests.model_builder import servers
from tests.model_builder.conftest import run_build, spec

pytestmark = [pytest.mark.real, pytest.mark.deep]
META = Meta(name="digits", namespace="vision", uid="u", generation=1, resource_version="1")
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Triton]:
    with servers.triton(tmp_path_factory.mktemp("triton")) as server:
        yield server


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    trained = {"pass": "train", "parameters": {"epochs": 1, "learningRate": 0.004}}
    return run_build(spec(trained, export={"classNames": True}, gates=[]), out=tmp_path_factory.mktemp("built"))


def serve(server: servers.Triton, built: dict[str, Any], *, model: str, golden: dict[str, Any] | None = None) -> Path:
    """Lay the build out, with other golden requests where some are given."""
    where = {"uri": built["uri"], "digest": built["digest"], "model": model, "to": server.repository}
    pull(**where, backend="python", serving=Serving(), reporter=SilentReporter())
    folder = server.repository / model
    if golden is not None:
        config, own = folder / "config.pbtxt", pack((folder / "golden.json").read_text())
        config.write_text(config.read_text().replace(own, pack(json.dumps(golden))))
    urllib.request.urlopen(f"{server.http}/v2/repository/models/{model}/load", b"{}").close()
    return folder


def asked(server: servers.Triton, built: dict[str, Any], *, model: str) -> GoldenCheck:
    ends = {
        kind: tuple(Tensor(name=t["name"], datatype=t["datatype"], shape=tuple(t["shape"])) for t in built[kind])
        for kind in ("inputs", "outputs")
    }
    result = BuildResult(artifact=Artifact(uri="x", digest="sha256:x"), contract=Contract(**ends), metrics={})
    record = Record(revision="r1", artifact_key="k", version="1", result=result, template="", created=NOW)
    prober = GoldenProber(address=lambda _meta, _slot: server.grpc)
    answers = asyncio.run(prober.ask(meta=META, model=model, candidate=record, stable=None, compare=(), now=NOW))
    (found,) = answers.checks
    assert found.problem is None
    return found


def test_all_outputs_are_held_to_the_golden_answers(triton: servers.Triton, built: dict[str, Any]) -> None:
    assert [tensor["name"] for tensor in built["outputs"]] == ["probabilities", "label"]
    golden = json.loads((serve(triton, built, model="named") / "golden.json").read_text())
    found = asked(triton, built, model="named")
    assert (found.asked, found.failed, found.wrong) == (len(golden["requests"]), 0, 0), found.message
    names = [one for case in golden["requests"] for one in case["response"]["outputs"] if one["name"] == "label"]
    names[0]["data"][0] = "another"
    serve(triton, built, model="misnamed", golden=golden)
    found = asked(triton, built, model="misnamed")
    assert (found.failed, found.wrong) == (0, 1)
    assert "values of output label are not the expected ones" in found.message


def test_golden_requests_of_older_builds_are_asked_as_well(triton: servers.Triton, built: dict[str, Any]) -> None:
    golden = json.loads((serve(triton, built, model="whole") / "golden.json").read_text())
    for case in golden["requests"]:
        del case["response"]["outputs"][1:]
    serve(triton, built, model="old", golden=golden)
    found = asked(triton, built, model="old")
    assert (found.asked, found.failed, found.wrong) == (len(golden["requests"]), 0, 0), found.message
