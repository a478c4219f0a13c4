"""Eight-bit integers by ONNX Runtime's tools, a step at a time and through files.

Weights lie in a data file beside the graph until the last step, and those of a large graph after it, too: done in one
call, the library holds up to six copies of them at once, done like this three.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import graph_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Only what computes: pre- and post-processing (scaling, softmax) stay in floating point.
QUANTIZED_OPERATORS = ["Conv", "Gemm", "MatMul", "MaxPool", "Relu"]
#: Those of them that have weights.
WEIGHTED_OPERATORS = ["Conv", "Gemm", "MatMul"]
DYNAMIC_OPERATORS = ["Gemm", "MatMul"]


def prepare(graph: Path, *, folder: Path) -> Path:
    """A copy of a graph with constants folded and shapes inferred, as the other steps need it."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process  # type: ignore[import-untyped]

    optimized, parted, prepared = (folder / f"{name}.onnx" for name in ("optimized", "parted", "prepared"))
    graph_file.copy_data(graph, folder=folder)
    _optimize(graph, to=optimized)
    onnx.save(onnx.load(optimized), parted, save_as_external_data=True, location="parted.data")
    optimized.unlink()
    with _quiet():
        quant_pre_process(
            str(parted),
            str(prepared),
            skip_optimization=True,
            skip_symbolic_shape=True,
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            external_data_location="prepared.data",
        )
    return prepared


def _optimize(graph: Path, *, to: Path) -> None:
    """Not as part of `quant_pre_process`, which meanwhile holds a copy of its own.

    Nor does the session write a data file: it would sort what it says of shapes by name, and change the result's bytes.
    """
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(to)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def measure_ranges(prepared: Path, *, sample: NDArray[Any], method: str) -> Path:
    """The ranges of all activations on sample rows, in a file beside the graph.

    Args:
        prepared: from `prepare`.
        sample: (n, ...) rows; they go through one at a time.
        method: MinMax, Entropy or Percentile, as ONNX Runtime's calibrators do it.
    """
    from onnxruntime import quantization as ort

    ranges = prepared.with_name(f"{method}.ranges.json")
    with _quiet():
        calibrator = ort.create_calibrator(
            prepared,
            QUANTIZED_OPERATORS,
            str(prepared.with_name(f"{method}.augmented.onnx")),
            calibrate_method=ort.CalibrationMethod[method],
            use_external_data_format=True,
        )
        calibrator.collect_data(_reader(name=_input_name(prepared), sample=sample))
        ort.save_tensors_data(calibrator.compute_data(), ranges)
    return ranges


def static(
    prepared: Path, *, ranges: Path, method: str, to: Path, without: Collection[str] = (), signed: bool = False
) -> None:
    """Symmetric per-channel INT8 weights and eight-bit activations of fixed ranges, in QDQ form.

    Without a sign a Relu costs nothing: what is below zero is cut off by the rounding, so ONNX Runtime computes a layer
    and its Relu as one. On the digits that is 18 times as fast as signed activations for 64 rows.

    Args:
        prepared: from `prepare`.
        ranges: from `measure_ranges` with the same method.
        method: how they were measured.
        to: the file to write.
        without: names of nodes that stay in floating point.
        signed: activations from -127 to 127 around zero, as TensorRT has them, and not from 0 to 255.
    """
    from onnxruntime import quantization as ort

    with _quiet():
        ort.quantize_static(
            str(prepared),
            str(to),
            quant_format=ort.QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED_OPERATORS,
            per_channel=True,
            activation_type=ort.QuantType.QInt8 if signed else ort.QuantType.QUInt8,
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=list(without),
            use_external_data_format=_apart(prepared, to=to),
            calibrate_method=ort.CalibrationMethod[method],
            calibration_cache_path=ranges,
            extra_options={"ActivationSymmetric": signed, "WeightSymmetric": True},
        )


def dynamic(prepared: Path, *, to: Path, without: Collection[str] = ()) -> None:
    """Symmetric per-channel INT8 weights of MatMul and Gemm; ranges of activations are found anew in every call."""
    from onnxruntime import quantization as ort

    with _quiet():
        ort.quantize_dynamic(
            str(prepared),
            str(to),
            op_types_to_quantize=DYNAMIC_OPERATORS,
            per_channel=True,
            weight_type=ort.QuantType.QInt8,
            # Gemm is taken apart first.
            nodes_to_exclude=[*without, *(f"{name}_MatMul" for name in without)],
            use_external_data_format=_apart(prepared, to=to),
        )


def _apart(prepared: Path, *, to: Path) -> bool:
    """Whether the weights go into a file beside `to`, since a graph may have at most 2 GiB.

    One of an earlier result goes first: it would be added to.
    """
    import onnx

    for file in graph_file.files(to)[1:]:
        file.unlink()
    return graph_file.large(onnx.load(prepared, load_external_data=False))


def weighted_layers(prepared: Path, *, operators: Collection[str]) -> list[str]:
    """Names of the nodes of these kinds that have weights; in the file, those without a name are given one."""
    import onnx

    model = onnx.load(prepared, load_external_data=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in operators and weights.intersection(node.input[:2])]
    for node in layers:
        node.name = node.name or f"making_{node.output[0]}"
    onnx.save(model, prepared)
    return [node.name for node in layers]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library narrates on standard output and on the root logger, where only our own lines belong."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)


def _input_name(graph: Path) -> str:
    import onnx

    return str(onnx.load(graph, load_external_data=False).graph.input[0].name)


def _reader(*, name: str, sample: NDArray[Any]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader  # type: ignore[import-untyped]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands out one row at a time, as ONNX Runtime asks for them."""

        def __init__(self) -> None:
            self._rows: Iterator[dict[str, Any]] = ({name: sample[i : i + 1]} for i in range(len(sample)))

        def get_next(self) -> dict[str, Any] | None:
            return next(self._rows, None)

    return Reader()
