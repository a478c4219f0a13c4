"""Renders config.pbtxt: the one place where a serving configuration becomes Triton's. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from model_builder.contract import Contract, Tensor
from model_builder.decode import Pattern, Range
from model_builder.errors import BadSpec
from model_builder.golden_parameter import PARAMETER

Backend = Literal["onnxruntime", "python", "pytorch"]
#: A model's name is also the name of its folder.
MODEL_NAME = Pattern(
    r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?",
    "1 to 128 letters, digits, '.', '_' or '-', with a letter or digit at both ends",
)
DEFAULT_MAX_BATCH_SIZE = 32
_WORD = Pattern(r"[A-Za-z0-9._-]{1,63}", "1 to 63 letters, digits, '.', '_' or '-'")


@dataclass(frozen=True)
class DynamicBatching:
    """How requests of several clients share one execution. `maxQueueSize` 0 is an endless queue.

    `queueTimeoutMicroseconds` refuses a request that waited that long; 0 lets it wait for ever.
    """

    max_queue_delay_microseconds: Annotated[int, Range(0, 10_000_000)] = 0
    max_queue_size: Annotated[int, Range(0, 1_000_000)] = 0
    queue_timeout_microseconds: Annotated[int, Range(0, 3_600_000_000)] = 0
    preferred_batch_sizes: Annotated[tuple[int, ...], Range(0, 16)] = ()


@dataclass(frozen=True)
class Serving:
    """How a model is to be served. `maxBatchSize` 0 turns batching off; absent means what the model allows.

    `latencyBucketsMs` sets the buckets of Triton's own latency histogram. Only for servers that know them: Triton 2.51
    (24.10) refuses to load a model whose configuration has such buckets.

    `parameters` go to the backend as they are (`intra_op_thread_count`, for one), `acceleration` to ONNX Runtime, which
    then builds a TensorRT engine when the model is loaded. `responseCache` needs a server that was started with one.
    """

    max_batch_size: Annotated[int | None, Range(0, 4096)] = None
    dynamic_batching: DynamicBatching | None = None
    instance_count: Annotated[int, Range(1, 64)] = 1
    instance_kind: Literal["Auto", "Cpu", "Gpu"] = "Auto"
    gpus: Annotated[tuple[Annotated[int, Range(0, 63)], ...], Range(0, 64)] = ()
    warmup: bool = True
    latency_buckets_ms: Annotated[tuple[int, ...], Range(0, 32)] = ()
    revision: Annotated[str | None, _WORD] = None
    metric_tags: Annotated[Mapping[str, Annotated[str, _WORD]], Range(0, 16)] = field(default_factory=dict)
    parameters: Annotated[Mapping[str, str], Range(0, 32)] = field(default_factory=dict)
    response_cache: bool = False
    acceleration: Literal["None", "TensorRt"] = "None"


def render_config(
    *, contract: Contract, model: str, backend: Backend, serving: Serving, golden: str | None = None
) -> str:
    """A complete configuration: nothing is left for Triton to guess. `golden` is the value of that parameter."""
    batch = _max_batch_size(contract=contract, serving=serving)
    # The tensors of the contract have no batch dimension; without batching Triton wants it spelled out.
    lead: tuple[int, ...] = (-1,) if contract.batchable and batch == 0 else ()
    lines = [f"name: {_quoted(model)}", f"backend: {_quoted(backend)}", f"max_batch_size: {batch}"]
    for kind, tensors in (("input", contract.inputs), ("output", contract.outputs)):
        lines += [line for tensor in tensors for line in _tensor(kind, tensor, lead=lead)]
    lines += ["version_policy { specific { versions: [ 1 ] } }"]
    lines += [_instances(serving, backend=backend)]
    if serving.dynamic_batching:
        lines += _batching(serving.dynamic_batching, max_batch_size=batch)
    if serving.warmup:
        lines += _warmup(contract.inputs, lead=lead, max_batch_size=batch)
    tags = {**serving.metric_tags, **({"revision": serving.revision} if serving.revision else {})}
    lines += [f"metric_tags {{ key: {_quoted(key)} value: {_quoted(value)} }}" for key, value in sorted(tags.items())]
    parameters = {**serving.parameters, **({} if golden is None else {PARAMETER: golden})}
    lines += [
        f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}"
        for key, value in sorted(parameters.items())
    ]
    if serving.latency_buckets_ms:
        lines += _histogram(serving.latency_buckets_ms)
    if serving.response_cache:
        lines += ["response_cache { enable: true }"]
    if serving.acceleration == "TensorRt":
        lines += [_accelerator(backend)]
    return "\n".join(lines) + "\n"


def _max_batch_size(*, contract: Contract, serving: Serving) -> int:
    if contract.batchable:
        return DEFAULT_MAX_BATCH_SIZE if serving.max_batch_size is None else serving.max_batch_size
    if serving.max_batch_size:
        raise BadSpec(
            f"maxBatchSize is {serving.max_batch_size}, but the first dimension of this model is fixed: "
            "set maxBatchSize to 0, or export the model with a dynamic batch dimension"
        )
    return 0


def _instances(serving: Serving, *, backend: Backend) -> str:
    if backend == "python":
        # The runner of the python backend computes on the CPU.
        if serving.instance_kind == "Gpu" or serving.gpus:
            raise BadSpec("the python backend computes on the CPU: drop instanceKind and gpus, or use onnxruntime")
        return f"instance_group [ {{ count: {serving.instance_count} kind: KIND_CPU }} ]"
    if serving.gpus and serving.instance_kind != "Gpu":
        raise BadSpec("gpus names GPUs, but instanceKind does not ask for any: set instanceKind to Gpu")
    gpus = f" gpus: {_list(serving.gpus)}" if serving.gpus else ""
    # With KIND_AUTO, onnxruntime takes a GPU where the pod has one.
    kind = f"KIND_{serving.instance_kind.upper()}"
    return f"instance_group [ {{ count: {serving.instance_count} kind: {kind}{gpus} }} ]"


def _accelerator(backend: Backend) -> str:
    if backend != "onnxruntime":
        raise BadSpec("acceleration TensorRt is one of the onnxruntime backend: drop it, or use that backend")
    return 'optimization { execution_accelerators { gpu_execution_accelerator : [ { name: "tensorrt" } ] } }'


def _tensor(kind: str, tensor: Tensor, *, lead: tuple[int, ...]) -> Iterable[str]:
    shape = lead + tensor.shape
    # Triton has no empty dims: a scalar per row is a vector of one that is reshaped.
    dims = f"dims: {_list(shape)}" if shape else "dims: [ 1 ] reshape: { shape: [ ] }"
    return [f"{kind} [ {{ name: {_quoted(tensor.name)} data_type: {tensor.config_type} {dims} }} ]"]


def _batching(batching: DynamicBatching, *, max_batch_size: int) -> Iterable[str]:
    if max_batch_size == 0:
        raise BadSpec("dynamicBatching needs batching: set maxBatchSize to at least 1 or drop dynamicBatching")
    for size in batching.preferred_batch_sizes:
        if not 1 <= size <= max_batch_size:
            raise BadSpec(
                f"dynamicBatching.preferredBatchSizes has {size}; allowed is 1 to {max_batch_size}, the batch"
            )
    yield "dynamic_batching {"
    if batching.preferred_batch_sizes:
        yield f"  preferred_batch_size: {_list(batching.preferred_batch_sizes)}"
    yield f"  max_queue_delay_microseconds: {batching.max_queue_delay_microseconds}"
    policy = []
    if batching.queue_timeout_microseconds:
        policy += [f"default_timeout_microseconds: {batching.queue_timeout_microseconds}"]
    if batching.max_queue_size:
        policy += [f"max_queue_size: {batching.max_queue_size}"]
    if policy:
        yield f"  default_queue_policy {{ timeout_action: REJECT {' '.join(policy)} }}"
    yield "}"


def _warmup(inputs: Iterable[Tensor], *, lead: tuple[int, ...], max_batch_size: int) -> Iterable[str]:
    """One request alone and one full batch, before the server says that it is ready."""
    for size in sorted({min(1, max_batch_size), max_batch_size}):
        yield "model_warmup [ {"
        yield f'  name: "batch-{size}" batch_size: {size}'
        for tensor in inputs:
            shape = [max(1, length) for length in lead + tensor.shape] or [1]
            value = f"data_type: {tensor.config_type} dims: {_list(shape)} zero_data: true"
            yield f"  inputs {{ key: {_quoted(tensor.name)} value {{ {value} }} }}"
        yield "} ]"


def _histogram(buckets: Iterable[int]) -> Iterable[str]:
    yield "model_metrics { metric_control: [ {"
    yield '  metric_identifier { family: "nv_inference_first_response_histogram_ms" }'
    yield f"  histogram_options {{ buckets: {_list(buckets)} }}"
    yield "} ] }"


def _list(numbers: Iterable[int]) -> str:
    return f"[ {', '.join(map(str, numbers))} ]"


def _quoted(text: str) -> str:
    return json.dumps(text)
