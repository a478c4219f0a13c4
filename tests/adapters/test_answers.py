"""An output is believed only as far as its bytes go."""

from __future__ import annotations

import numpy as np
import pytest
from modelrelease.adapters.triton.answers import BadAnswer, Fault, read
from modelrelease.domain.observed import Tensor
from tritonclient.grpc import InferResult, service_pb2  # type: ignore[import-untyped]


def answer(datatype: str, shape: list[int], raw: bytes) -> InferResult:
    """Return what a server may send, whatever it says of it."""
    response = service_pb2.ModelInferResponse()
    output = response.outputs.add()
    output.name, output.datatype = "y", datatype
    output.shape.extend(shape)
    response.raw_output_contents.append(raw)
    return InferResult(response)


def test_floating_point_numbers_become_the_widest() -> None:
    value = read(answer("FP16", [1, 2], np.array([0.5, 2], np.float16).tobytes()), fp16(), shape=(1, 2))
    assert value.dtype == np.float64
    assert value.tolist() == [[0.5, 2.0]]


def fp16() -> Tensor:
    return Tensor(name="y", datatype="FP16", shape=(2,))


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("FP32", [1, 2], b"\0" * 4),
        ("FP32", [1, 2], b"\0" * 7),
        ("FP32", [1, 2], b"\0" * 400),
        ("BYTES", [1, 2], b"\0\0\0\x01a\xff\xff"),
        ("BYTES", [1, 2], b"\xff\xff\xff\xff"),
    ],
)
def test_bytes_that_do_not_fit_are_another_schema(datatype: str, shape: list[int], raw: bytes) -> None:
    with pytest.raises(BadAnswer, match=f"the bytes of output y are not {datatype}") as caught:
        read(answer(datatype, shape, raw), Tensor(name="y", datatype=datatype, shape=(2,)), shape=(1, 2))
    assert caught.value.fault is Fault.SCHEMA


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_none(bad: float) -> None:
    raw = np.array([1.0, bad], np.float32).tobytes()
    with pytest.raises(BadAnswer, match="1 of the 2 numbers of output y are NaN or inf") as caught:
        read(answer("FP32", [1, 2], raw), Tensor(name="y", datatype="FP32", shape=(2,)), shape=(1, 2))
    assert caught.value.fault is Fault.NOT_FINITE


def test_a_shape_is_compared_where_it_is_known() -> None:
    scores = Tensor(name="y", datatype="FP32", shape=(-1,))
    sent = answer("FP32", [1, 2], np.zeros(2, np.float32).tobytes())
    assert read(sent, scores, shape=(1, -1)).shape == (1, 2)
    with pytest.raises(BadAnswer, match=r"output y is FP32\[1,2\] and not FP32\[2,-1\]"):
        read(sent, scores, shape=(2, -1))
    with pytest.raises(BadAnswer, match="there is no output z"):
        read(sent, Tensor(name="z", datatype="FP32", shape=(2,)), shape=(1, 2))
