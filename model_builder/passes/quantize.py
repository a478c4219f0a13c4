"""Post-training quantization of the exported graph to eight-bit integers, in QDQ form."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model_builder.decode import Range
from model_builder.errors import BadData
from model_builder.passes.base import Context, Pass, Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Only what computes: pre- and post-processing (scaling, softmax) stay in floating point.
QUANTIZED_OPERATORS = ["Conv", "Gemm", "MatMul", "MaxPool", "Relu"]


@dataclass(frozen=True)
class Parameters:
    """The number format, and what the ranges of the activations are measured on."""

    scheme: Annotated[Literal["Int8Static"], "number format"] = "Int8Static"
    calibration: Annotated[Literal["MinMax", "Entropy", "Percentile"], "how a range follows from what was seen"] = (
        "MinMax"
    )
    calibration_rows: Annotated[int, Range(1, 100_000), "training rows the ranges are measured on"] = 256
    calibration_sample: Annotated[
        Literal["Stratified", "Blank"],
        "Stratified: training rows, every class alike; Blank: rows of zeros, the planted mistake a gate must catch",
    ] = "Stratified"


def apply(*, graph: Path, parameters: Parameters, context: Context) -> Path:
    """Symmetric per-channel INT8 weights and INT8 activations, ranges fixed by calibration."""
    from onnxruntime import quantization as ort  # type: ignore[import-untyped]
    from onnxruntime.quantization.shape_inference import quant_pre_process  # type: ignore[import-untyped]

    sample = _sample(parameters=parameters, context=context)
    prepared = context.workspace / "prepared.onnx"
    quantized = context.workspace / "quantized.onnx"
    with _quiet():
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        ort.quantize_static(
            str(prepared),
            str(quantized),
            _reader(name=_input_name(graph), sample=sample),
            quant_format=ort.QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED_OPERATORS,
            per_channel=True,
            activation_type=ort.QuantType.QInt8,
            weight_type=ort.QuantType.QInt8,
            calibrate_method=ort.CalibrationMethod[parameters.calibration],
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )
    return quantized


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


def _sample(*, parameters: Parameters, context: Context) -> NDArray[Any]:
    import numpy

    train = context.data.train
    if parameters.calibration_rows > len(train.rows):
        raise BadData(
            f"quantize.calibrationRows is {parameters.calibration_rows}, but the training split of "
            f"{context.data.name!r} has {len(train.rows)} rows: ask for fewer"
        )
    if parameters.calibration_sample == "Blank":
        return numpy.zeros_like(train.rows[: parameters.calibration_rows])
    chosen = stratified_order(train.labels, seed=context.seed)[: parameters.calibration_rows]
    sample: NDArray[Any] = train.rows[chosen]
    return sample


def stratified_order(labels: NDArray[Any], *, seed: int) -> NDArray[Any]:
    """An order of the rows whose every prefix holds the classes about equally often."""
    import numpy

    random = numpy.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    turn = numpy.empty(len(labels))
    for label in numpy.unique(labels):
        members = numpy.flatnonzero(labels[shuffled] == label)
        turn[members] = numpy.arange(len(members)) + random.random(len(members))
    order: NDArray[Any] = shuffled[numpy.argsort(turn, kind="stable")]
    return order


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


PASS = Pass(
    name="quantize",
    stage=Stage.GRAPH,
    summary="turns weights and activations into eight-bit integers, with ranges from a calibration sample",
    parameters=Parameters,
    apply=apply,
    tolerance=0.05,
)
