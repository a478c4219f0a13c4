"""The golden requests that a build writes: which rows, and what their labels say; the operator's reader takes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from modelrelease.adapters.triton import golden_set
from modelrelease.adapters.triton.labels import signs
from modelrelease.domain.observed import Contract, Tensor
from onnx import TensorProto, helper

from model_builder import golden, graph
from model_builder.data.base import Dataset, Task
from model_builder.golden_parameter import pack
from tests.model_builder.networks import dataset


def linear(folder: Path, *, inputs: int, outputs: int) -> Path:
    """A graph that multiplies rows by a matrix of ones."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", inputs), ("y", outputs))
    ]
    ones = helper.make_tensor("w", TensorProto.FLOAT, (inputs, outputs), [1.0] * inputs * outputs)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [ones])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def naming(folder: Path, *, inputs: int) -> Path:
    """A graph with two classes, the one with the larger score named beside the scores: opposite numbers."""
    from onnx import numpy_helper

    model = onnx.load(linear(folder, inputs=inputs, outputs=2))
    weights = numpy.tile(numpy.array([1.0, -1.0], dtype="float32"), (inputs, 1))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    onnx.save(model, folder / "unnamed.onnx")
    graph.clean(folder / "unnamed.onnx", to=folder / "named.onnx", labels=["up", "down"])
    return folder / "named.onnx"


def rendered(folder: Path, data: Dataset, *, outputs: int = 2) -> dict[str, Any]:
    model = linear(folder, inputs=data.test.rows.shape[1], outputs=outputs)
    made: dict[str, Any] = json.loads(golden.render(model=model, data=data, tolerance=1e-4))
    return made


def rows(made: dict[str, Any]) -> list[int]:
    return [case["request"]["inputs"][0]["shape"][0] for case in made["requests"]]


@pytest.mark.parametrize(
    ("width", "wanted"),
    [
        (6, [1] * 4 + [4] * 15),  # all 64 rows
        (1_000, [1] * 4 + [4] * 4),  # 20 000 values
        (10_000, [1] * 4 + [4]),  # the least
    ],
)
def test_small_rows_come_in_numbers_and_large_ones_are_few(tmp_path: Path, width: int, wanted: list[int]) -> None:
    data = dataset(shape=(width,), rows=8)
    made = rendered(tmp_path, data)
    assert rows(made) == wanted
    sent = [number for case in made["requests"] for number in case["request"]["inputs"][0]["data"]]
    assert numpy.allclose(sent, data.test.rows[: sum(wanted)].ravel())


def test_few_test_rows_are_all_there_is(tmp_path: Path) -> None:
    data = dataset()
    few = replace(data, test=replace(data.test, rows=data.test.rows[:5], labels=data.test.labels[:5]))
    assert rows(rendered(tmp_path, few)) == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("task", "outputs", "kind"), [(Task.CLASSIFICATION, 2, "class"), (Task.REGRESSION, 1, "value")]
)
def test_the_operator_reads_the_labels(tmp_path: Path, task: Task, outputs: int, kind: str) -> None:
    data = dataset(task=task)
    made = rendered(tmp_path, data, outputs=outputs)
    assert made["labels"]["kind"] == kind
    x, y = (Tensor(name=name, datatype="FP32", shape=(size,)) for name, size in (("x", 6), ("y", outputs)))
    found = golden_set.parse(pack(json.dumps(made)), contract=Contract(inputs=(x,), outputs=(y,)))
    assert found.labelled is not None
    labels = numpy.concatenate([one.labels.ravel() for one in found.requests if one.labels is not None])
    assert numpy.allclose(labels, data.test.labels)
    for one in found.requests:
        assert one.labels is not None
        right = one.labels if task is Task.REGRESSION else numpy.eye(2)[one.labels.astype(int)]
        told = signs(right, 1.0 - right, one.labels, kind=found.labelled.kind, tolerance=found.tolerance)
        assert set(told) == {-1}


def test_labels_that_do_not_fit_the_answer_are_left_out(tmp_path: Path) -> None:
    made = rendered(tmp_path, dataset(), outputs=1)  # one score: its place says nothing
    assert "labels" not in made and not any("labels" in case for case in made["requests"])


def test_other_test_rows_have_another_fingerprint(tmp_path: Path) -> None:
    data = dataset()
    other = replace(data, test=replace(data.test, rows=data.test.rows[::-1], labels=data.test.labels[::-1]))
    same, again, turned = (rendered(tmp_path, one)["labels"]["split"] for one in (data, dataset(), other))
    assert same == again != turned
    relabelled = replace(data, test=replace(data.test, labels=1 - data.test.labels))
    assert rendered(tmp_path, relabelled)["labels"]["split"] != same


def test_all_outputs_are_expected_and_the_operator_reads_them(tmp_path: Path) -> None:
    data = dataset()
    model = naming(tmp_path, inputs=6)
    text = golden.render(model=model, data=data, tolerance=1e-6)
    x, y = (Tensor(name=name, datatype="FP32", shape=(size,)) for name, size in (("x", 6), ("y", 2)))
    contract = Contract(inputs=(x,), outputs=(y, Tensor(name="label", datatype="BYTES", shape=())))
    found = golden_set.parse(pack(text), contract=contract)
    scores = graph.predict(graph.open_session(model), data.test.rows)
    names = [b"up" if one > other else b"down" for one, other in scores]
    assert {b"up", b"down"} == set(names)
    assert numpy.concatenate([one.expected["label"].ravel() for one in found.requests]).tolist() == names
    assert numpy.allclose(numpy.concatenate([one.expected["y"] for one in found.requests]), scores)


def test_a_name_that_another_machine_may_choose_otherwise_is_not_expected(tmp_path: Path) -> None:
    data, model = dataset(), naming(tmp_path, inputs=6)
    scores = graph.predict(graph.open_session(model), data.test.rows)
    gaps = numpy.abs(scores[:, 0] - scores[:, 1])
    tolerance = float(numpy.median(gaps[:4])) / 2  # the first four rows come alone
    made = json.loads(golden.render(model=model, data=data, tolerance=tolerance))
    told = [[output["name"] for output in case["response"]["outputs"]] for case in made["requests"][:4]]
    assert told == [["y", "label"] if gap > 2 * tolerance else ["y"] for gap in gaps[:4]]
    assert ["y"] in told and ["y", "label"] in told
