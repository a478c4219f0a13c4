"""What the builder makes, served by a real Triton through its python backend."""

import concurrent.futures
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from tritonclient import grpc  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from model_builder.golden_parameter import PARAMETER, pack
from model_builder.progress import SilentReporter
from model_builder.pull import parse_serving, pull
from tests.model_builder.conftest import Artifact, run_build, spec
from tests.model_builder.servers import Triton
from tests.runtime.operators import eventually

pytestmark = pytest.mark.real


@pytest.fixture
def client(triton: Triton) -> Iterator[grpc.InferenceServerClient]:
    with grpc.InferenceServerClient(triton.grpc) as connected:
        yield connected


def serve(
    client: grpc.InferenceServerClient, triton: Triton, uri: str, digest: str, *, model: str, serving: dict[str, Any]
) -> Path:
    pull(
        uri=uri,
        digest=digest,
        model=model,
        to=triton.repository,
        backend="python",
        serving=parse_serving(json.dumps(serving)),
        reporter=SilentReporter(),
    )
    client.load_model(model)
    assert client.is_model_ready(model, "1")
    return triton.repository / model


def infer(client: grpc.InferenceServerClient, model: str, rows: Any) -> Any:
    image = grpc.InferInput("image", list(rows.shape), "FP32")
    image.set_data_from_numpy(rows)
    return client.infer(model, [image]).as_numpy("probabilities")


def counter(triton: Triton, name: str, model: str) -> tuple[float, str]:
    with urllib.request.urlopen(triton.metrics) as answer:
        text = answer.read().decode()
    (line,) = [line for line in text.splitlines() if line.startswith(name + "{") and f'model="{model}"' in line]
    return float(line.split()[-1]), line


def test_golden_requests_get_their_golden_answers(
    client: grpc.InferenceServerClient, triton: Triton, artifact: Artifact
) -> None:
    serving = {"maxBatchSize": 16, "revision": "r7", "dynamicBatching": {"maxQueueDelayMicroseconds": 500}}
    folder = serve(client, triton, artifact.uri, artifact.digest, model="golden", serving=serving)
    golden = json.loads((folder / "golden.json").read_text())
    assert len(golden["requests"]) == 28
    carried = client.get_model_config("golden").config.parameters[PARAMETER].string_value
    assert carried == pack((folder / "golden.json").read_text())
    for case in golden["requests"]:
        (image,), (expected,) = case["request"]["inputs"], case["response"]["outputs"]
        answer = infer(client, "golden", numpy.array(image["data"], dtype="float32").reshape(image["shape"]))
        assert list(answer.shape) == expected["shape"]
        assert numpy.abs(answer.ravel() - expected["data"]).max() <= golden["absoluteTolerance"]
        request = urllib.request.Request(f"{triton.http}/v2/models/golden/infer", json.dumps(case["request"]).encode())
        with urllib.request.urlopen(request) as response:
            (output,) = json.loads(response.read())["outputs"]
        assert numpy.abs(numpy.array(output["data"]) - expected["data"]).max() <= golden["absoluteTolerance"]
    # Warm-up is counted too: one row alone, and a full batch made of single requests.
    # An answer leaves before it is counted.
    name, expected_total = "nv_inference_request_success", 28 + 28 + 1 + 16
    eventually(lambda: counter(triton, name, "golden")[0] >= expected_total, what="every request is counted")
    total, line = counter(triton, name, "golden")
    assert total == expected_total
    assert '_revision="r7"' in line
    assert list(triton.home.rglob("*")) == []  # ONNX Runtime would keep its telemetry there


def test_the_server_says_what_the_contract_says(
    client: grpc.InferenceServerClient, triton: Triton, artifact: Artifact
) -> None:
    serve(client, triton, artifact.uri, artifact.digest, model="contract", serving={"maxBatchSize": 8})
    metadata = client.get_model_metadata("contract", as_json=True)
    for side in ("inputs", "outputs"):
        told = [(t["name"], t["datatype"], [int(n) for n in t["shape"]]) for t in metadata[side]]
        assert told == [(t["name"], t["datatype"], [-1, *t["shape"]]) for t in artifact.result[side]]
    config = client.get_model_config("contract", as_json=True)["config"]
    assert config["max_batch_size"] == 8
    assert config["backend"] == "python"
    assert config["version_policy"] == {"specific": {"versions": ["1"]}}


def test_without_batching_any_number_of_rows_is_one_request(
    client: grpc.InferenceServerClient, triton: Triton, artifact: Artifact
) -> None:
    serve(client, triton, artifact.uri, artifact.digest, model="unbatched", serving={"maxBatchSize": 0})
    assert infer(client, "unbatched", numpy.zeros((100, 8, 8), dtype="float32")).shape == (100, 10)


@pytest.fixture(scope="module")
def lookup(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An untrained network that is slow, and fails on pixel values it has no level for."""
    out = tmp_path_factory.mktemp("lookup") / "out"
    result = run_build(spec(source={"uri": "builtin://digits-lookup"}), out=out)
    return result["uri"], result["digest"]


def test_requests_share_executions_and_a_full_queue_refuses(
    client: grpc.InferenceServerClient, triton: Triton, lookup: tuple[str, str]
) -> None:
    serving = {
        "maxBatchSize": 4,
        "warmup": False,
        "dynamicBatching": {"maxQueueDelayMicroseconds": 20_000, "maxQueueSize": 6},
    }
    serve(client, triton, *lookup, model="queue", serving=serving)
    row = numpy.zeros((1, 8, 8), dtype="float32")

    def attempt(_: int) -> str | None:
        try:
            infer(client, "queue", row)
        except InferenceServerException as error:
            return str(error.status())
        return None

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        outcomes = list(pool.map(attempt, range(256)))
    refused = [status for status in outcomes if status is not None]
    assert set(refused) == {"StatusCode.UNAVAILABLE"}
    served = len(outcomes) - len(refused)
    assert served > 0
    executions, _ = counter(triton, "nv_inference_exec_count", "queue")
    assert executions < served


def test_one_client_s_bad_input_harms_no_other_in_its_batch(
    client: grpc.InferenceServerClient, triton: Triton, lookup: tuple[str, str]
) -> None:
    serving = {"maxBatchSize": 8, "dynamicBatching": {"maxQueueDelayMicroseconds": 200_000, "preferredBatchSizes": [8]}}
    serve(client, triton, *lookup, model="poison", serving=serving)
    good, bad = numpy.zeros((1, 8, 8), dtype="float32"), numpy.full((1, 8, 8), 17, dtype="float32")

    def attempt(row: Any) -> str:
        try:
            return str(infer(client, "poison", row).shape)
        except InferenceServerException as error:
            return str(error.message())

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, [good, good, bad, good, good, good, bad, good]))
    assert [bool(re.search("out of", answer)) for answer in answers] == [i in (2, 6) for i in range(8)]
    assert answers.count("(1, 10)") == 6
    executions, _ = counter(triton, "nv_inference_exec_count", "poison")
    assert executions < 8 + 2  # the eight shared executions; two more are the warm-up's
    with pytest.raises(InferenceServerException, match="out of"):
        infer(client, "poison", bad)


def test_a_server_that_does_not_know_histogram_buckets_refuses_the_model(
    client: grpc.InferenceServerClient, triton: Triton, artifact: Artifact
) -> None:
    """Why `latencyBucketsMs` is not on by default."""
    with pytest.raises(InferenceServerException, match="failed to poll"):
        serve(client, triton, artifact.uri, artifact.digest, model="buckets", serving={"latencyBucketsMs": [1, 5]})
