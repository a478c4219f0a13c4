import pytest

from model_builder.contract import Contract, Tensor, parse_contract
from model_builder.errors import ArtifactCorrupt, BadSpec
from model_builder.pull import parse_serving
from model_builder.triton import render_config

IMAGE = Tensor(name="image", datatype="FP32", shape=(8, 8))
TEXT = Tensor(name="text", datatype="BYTES", shape=())


def contract(*, batchable: bool = True, inputs: tuple[Tensor, ...] = (IMAGE,)) -> Contract:
    outputs = (Tensor(name="probabilities", datatype="FP32", shape=(10,)),)
    return Contract(
        inputs=inputs, outputs=outputs, batchable=batchable, opset=20, ir_version=10, golden_sha256="0" * 64
    )


def config(serving: str, **changes: object) -> str:
    return render_config(contract=contract(**changes), model="m", backend="python", serving=parse_serving(serving))  # type: ignore[arg-type]


def test_everything_that_is_asked_for_is_rendered() -> None:
    text = config(
        '{"maxBatchSize": 16, "dynamicBatching": {"maxQueueDelayMicroseconds": 500, "maxQueueSize": 128,'
        ' "preferredBatchSizes": [8]}, "instanceCount": 2, "warmup": true, "revision": "abc",'
        ' "latencyBucketsMs": [1, 5]}'
    )
    for line in (
        'name: "m"',
        'backend: "python"',
        "max_batch_size: 16",
        'input [ { name: "image" data_type: TYPE_FP32 dims: [ 8, 8 ] } ]',
        "version_policy { specific { versions: [ 1 ] } }",
        "instance_group [ { count: 2 kind: KIND_CPU } ]",
        "  preferred_batch_size: [ 8 ]",
        "  max_queue_delay_microseconds: 500",
        "  default_queue_policy { timeout_action: REJECT max_queue_size: 128 }",
        '  name: "batch-1" batch_size: 1',
        '  name: "batch-16" batch_size: 16',
        'metric_tags { key: "revision" value: "abc" }',
        "  histogram_options { buckets: [ 1, 5 ] }",
    ):
        assert line in text.splitlines()


def test_what_only_some_servers_have_is_rendered_on_request() -> None:
    serving = parse_serving(
        '{"instanceKind": "Gpu", "gpus": [0, 1], "metricTags": {"team": "vision"}, "revision": "r7",'
        ' "parameters": {"intra_op_thread_count": "2"}, "responseCache": true, "acceleration": "TensorRt",'
        ' "dynamicBatching": {"queueTimeoutMicroseconds": 20000}}'
    )
    lines = render_config(contract=contract(), model="m", backend="onnxruntime", serving=serving).splitlines()
    for line in (
        "instance_group [ { count: 1 kind: KIND_GPU gpus: [ 0, 1 ] } ]",
        'metric_tags { key: "team" value: "vision" }',
        'metric_tags { key: "revision" value: "r7" }',
        'parameters { key: "intra_op_thread_count" value { string_value: "2" } }',
        "response_cache { enable: true }",
        'optimization { execution_accelerators { gpu_execution_accelerator : [ { name: "tensorrt" } ] } }',
        "  default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 20000 }",
    ):
        assert line in lines


def test_what_is_not_asked_for_is_absent() -> None:
    text = config('{"warmup": false}')
    assert "max_batch_size: 32" in text
    for word in ("dynamic_batching", "model_warmup", "metric_tags", "model_metrics", "parameters", "cache", "optimi"):
        assert word not in text


def test_without_batching_the_first_dimension_is_written_out() -> None:
    text = config('{"maxBatchSize": 0}')
    assert 'input [ { name: "image" data_type: TYPE_FP32 dims: [ -1, 8, 8 ] } ]' in text
    assert '  name: "batch-0" batch_size: 0' in text
    assert "dims: [ 1, 8, 8 ] zero_data: true" in text


def test_a_fixed_first_dimension_is_never_batched() -> None:
    assert "max_batch_size: 0" in config("{}", batchable=False)
    with pytest.raises(BadSpec, match="first dimension of this model is fixed"):
        config('{"maxBatchSize": 8}', batchable=False)


def test_a_scalar_per_row_is_a_reshaped_vector_of_strings() -> None:
    assert "data_type: TYPE_STRING dims: [ 1 ] reshape: { shape: [ ] }" in config("{}", inputs=(TEXT,))


@pytest.mark.parametrize(
    ("serving", "sentence"),
    [
        ('{"maxBatchSize": 4, "dynamicBatching": {"preferredBatchSizes": [8]}}', "preferredBatchSizes has 8"),
        ('{"maxBatchSize": 0, "dynamicBatching": {}}', "dynamicBatching needs batching"),
        ('{"maxBatchsize": 4}', "did you mean 'maxBatchSize'?"),
        ('{"revision": "a\\"b"}', "serving.revision is"),
        ('{"metricTags": {"team": "a b"}}', "serving.metricTags.team is 'a b'"),
        ('{"metricTags": []}', "serving.metricTags must be a mapping"),
        ('{"gpus": [64]}', "serving.gpus[0] is 64"),
        ('{"instanceKind": "Gpu"}', "the python backend computes on the CPU"),
        ('{"acceleration": "TensorRt"}', "drop it, or use that backend"),
        ("{", "--serving is not valid JSON"),
    ],
)
def test_a_wrong_serving_configuration_is_refused(serving: str, sentence: str) -> None:
    with pytest.raises(BadSpec) as caught:
        config(serving)
    assert sentence in str(caught.value)


def test_a_contract_survives_being_written_and_read() -> None:
    assert parse_contract(contract().dump()) == contract()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"inputs": 3}', "null"])
def test_a_damaged_contract_is_named(text: str) -> None:
    with pytest.raises(ArtifactCorrupt, match=r"contract\.json"):
        parse_contract(text)


@pytest.mark.parametrize("backend", ["onnxruntime", "python", "pytorch"])
def test_triton_s_own_schema_reads_what_is_rendered(backend: str) -> None:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2  # type: ignore[import-untyped]

    gpu = ', "instanceKind": "Gpu", "gpus": [1], "acceleration": "TensorRt"' if backend == "onnxruntime" else ""
    serving = parse_serving(
        '{"maxBatchSize": 16, "dynamicBatching": {"maxQueueSize": 8, "queueTimeoutMicroseconds": 9}, "revision": "r",'
        ' "parameters": {"a": "b"}, "responseCache": true' + gpu + "}"
    )
    text = render_config(contract=contract(), model="m", backend=backend, serving=serving)  # type: ignore[arg-type]
    read = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert (read.backend, read.max_batch_size, read.response_cache.enable) == (backend, 16, True)
    assert [list(tensor.dims) for tensor in [*read.input, *read.output]] == [[8, 8], [10]]
    accelerators = read.optimization.execution_accelerators.gpu_execution_accelerator
    assert [each.name for each in accelerators] == (["tensorrt"] if gpu else [])
