import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_builder import checkpoint, graph
from model_builder.data.base import Dataset, Task
from model_builder.errors import BadSpec
from model_builder.passes import int8, qat, qat_network, qat_operators, quality
from model_builder.passes.base import Context
from tests.model_builder.conftest import TRAIN, run_build, spec
from tests.model_builder.networks import context
from tests.model_builder.networks import dataset as noise
from tests.model_builder.test_pass_quantize import dataset, layered

CHANCE = numpy.random.default_rng(0)
EAGER = qat.Parameters(epochs=8, learning_rate=0.003, batch_size=16, calibration_rows=64)


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the pipeline runs a pass."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data() -> Dataset:
    """Rows that an identity classifies: the largest of four numbers is the class."""
    rows = numpy.random.default_rng(1).random((200, 4)) + numpy.eye(4)[numpy.arange(200) % 4] / 4
    return dataset(rows, rows.argmax(1))


def accuracy(model: Path, data: Dataset) -> float:
    return quality.accuracy(quality.answers(model, data=data), data=data)


def trained(folder: Path, model: Path, data: Dataset, **changes: Any) -> tuple[Path, Context]:
    made = context(folder, data)
    return qat.apply(graph=model, parameters=dataclasses.replace(EAGER, **changes), context=made), made


def spread(folder: Path, outputs: int = 4) -> Path:
    """A number that no answer depends on is forty times as large as the others: INT8 has few steps left for them."""
    wide = numpy.hstack([numpy.eye(4), numpy.ones((4, 1)) * 40])
    return layered(
        folder / "x.onnx", [numpy.eye(4), wide, numpy.vstack([numpy.eye(4), numpy.zeros((1, 4))])[:, :outputs]]
    )


def convolutional(path: Path) -> Path:
    """Convolution, Relu, pooling, reshaping, Gemm and Softmax over pictures of 6 by 6."""
    weights = {
        "filters": CHANCE.normal(size=(8, 1, 3, 3)) * numpy.linspace(0.1, 3, 8).reshape(8, 1, 1, 1),
        "bias": CHANCE.normal(size=8),
        "dense": CHANCE.normal(size=(2, 72)) / 60,
        "offset": CHANCE.normal(size=2),
    }
    nodes = [
        helper.make_node("Conv", ["rows", "filters", "bias"], ["sums"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["sums"], ["hidden"], "relu"),
        helper.make_node("MaxPool", ["hidden"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "dense", "offset"], ["scores"], "gemm", transB=1),
        helper.make_node("Softmax", ["scores"], ["probabilities"], "softmax"),
    ]
    return saved(path, nodes, weights, inputs=("batch", 1, 6, 6), outputs=("batch", 2))


def saved(path: Path, nodes: list[Any], weights: dict[str, Any], *, inputs: Any, outputs: Any) -> Path:
    made = helper.make_graph(
        nodes,
        "made-up",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, outputs)],
        [numpy_helper.from_array(numpy.asarray(w, dtype="float32"), name) for name, w in weights.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_training_saves_what_calibration_spoils(data: Dataset, tmp_path: Path) -> None:
    model = spread(tmp_path)
    result, made = trained(tmp_path, model, data)
    assert accuracy(tmp_path / "calibrated.onnx", data) < 0.7
    assert accuracy(result, data) > 0.85 < accuracy(model, data)
    assert made.record["kept"] == "trained"
    assert made.record["distances"]["trained"] < made.record["distances"]["calibrated"] * 0.6


def test_labels_are_not_needed(data: Dataset, tmp_path: Path) -> None:
    wrong = dataclasses.replace(data, train=dataclasses.replace(data.train, labels=(data.train.labels + 1) % 4))
    result, _ = trained(tmp_path, spread(tmp_path), wrong)
    assert accuracy(result, data) > 0.85


def test_where_training_gains_nothing_the_calibrated_graph_is_kept(data: Dataset, tmp_path: Path) -> None:
    model = layered(tmp_path / "x.onnx", [numpy.eye(4)])
    result, made = trained(tmp_path, model, data, epochs=1, learning_rate=1e-7)
    assert made.record["kept"] == "calibrated"
    assert result.read_bytes() == (tmp_path / "calibrated.onnx").read_bytes()


def test_the_training_sees_what_is_served(tmp_path: Path) -> None:
    data = noise(shape=(1, 6, 6))
    trained(tmp_path, convolutional(tmp_path / "x.onnx"), data)
    shown = dataclasses.replace(data, validation=data.test)
    floating = quality.answers(tmp_path / "x.onnx", data=shown)
    for name, prepared in (("calibrated", "prepared"), ("learned", "trained")):
        points = qat_network.points(tmp_path / f"{name}.onnx")
        network = qat_network.make(tmp_path / f"{prepared}.onnx", points=points, probabilities=True)
        with torch.no_grad():
            simulated = network(torch.from_numpy(data.test.rows)).exp().numpy()
        served = quality.answers(tmp_path / f"{name}.onnx", data=shown)
        # A last bit may decide how a number is rounded, so that single answers may be a step apart.
        assert float(abs(simulated - served).mean()) < 0.1 * float(abs(floating - served).mean()), name
    assert set(points.weights) == {"filters", "dense"}
    assert points.activations["pooled"] == points.activations["hidden"]


def test_what_was_learned_is_written(tmp_path: Path) -> None:
    data = noise(shape=(1, 6, 6))
    prepared = int8.prepare(convolutional(tmp_path / "x.onnx"), folder=tmp_path)
    ranges = int8.measure_ranges(prepared, sample=data.train.rows, method="MinMax")
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    int8.static(prepared, ranges=ranges, method="MinMax", to=before)
    points = qat_network.points(before)
    network = qat_network.make(prepared, points=points, probabilities=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
        simulated = network(torch.from_numpy(data.validation.rows)).exp().numpy()
    learned, found = qat_network.write(network, prepared=prepared, ranges=ranges, points=points, folder=tmp_path)
    int8.static(learned, ranges=found, method="MinMax", to=after)
    moved = float(abs(quality.answers(before, data=data) - simulated).mean())
    assert float(abs(quality.answers(after, data=data) - simulated).mean()) < 0.1 * moved


def test_the_graph_is_served_like_any_other_eight_bit_one(tmp_path: Path) -> None:
    data, model = noise(shape=(1, 6, 6)), convolutional(tmp_path / "x.onnx")
    result, _ = trained(tmp_path, model, data, epochs=1)
    graph.clean(result, to=tmp_path / "clean.onnx")
    assert graph.interface(tmp_path / "clean.onnx") == graph.interface(model)
    kept = {t.name: t for t in onnx.load(result).graph.initializer}
    assert kept["filters_quantized"].data_type == TensorProto.INT8
    assert list(kept["filters_scale"].dims) == [8]
    assert kept["hidden_zero_point"].data_type == TensorProto.UINT8
    assert "Relu" not in [node.op_type for node in onnx.load(result).graph.node], "it is part of the rounding"
    session = graph.open_session(result)
    together = graph.predict(session, data.test.rows[:3])
    alone = numpy.concatenate([graph.predict(session, data.test.rows[i : i + 1]) for i in range(3)])
    assert numpy.array_equal(together, alone)


def test_the_file_is_a_quarter_of_the_float_one(tmp_path: Path) -> None:
    weights = [CHANCE.normal(size=(64, 1600)) / 8, CHANCE.normal(size=(1600, 2)) / 40]
    data, model = noise(shape=(64,), rows=16), layered(tmp_path / "x.onnx", weights)
    result, _ = trained(tmp_path, model, data, epochs=1)
    assert result.stat().st_size < 0.3 * model.stat().st_size


def test_a_regression_learns_its_own_answers(data: Dataset, tmp_path: Path) -> None:
    split = dataclasses.replace(data.train, labels=data.train.rows[:, 0])
    numbers = dataclasses.replace(data, task=Task.REGRESSION, classes=(), train=split, validation=split)
    _, made = trained(tmp_path, spread(tmp_path, outputs=1), numbers)
    assert made.record["distances"]["trained"] < made.record["distances"]["calibrated"] / 2


def test_unlabelled_rows_are_learned_from(data: Dataset, tmp_path: Path) -> None:
    more = dataclasses.replace(data, unlabelled=data.train.rows[:40])
    objective, _ = qat._objective(spread(tmp_path), data=more)
    assert objective.rows == 240


@pytest.mark.parametrize("logits", [True, False])
def test_it_is_seen_whether_a_graph_answers_with_probabilities(logits: bool) -> None:
    answers = numpy.array([[0.2, 0.8], [1.0, 0.0]]) * (3 if logits else 1)
    assert qat._are_probabilities(answers) is not logits


def test_an_interrupted_training_ends_with_the_same_bytes(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, whole = spread(tmp_path), checkpoint.save
    wanted, _ = trained(tmp_path / "undisturbed", model, data, epochs=3)
    left = 2

    def save(folder: Path, *, number: int, state: dict[str, Any]) -> None:
        nonlocal left
        whole(folder, number=number, state=state)
        left -= 1
        if left == 0:
            raise Killed

    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", model, data, epochs=3)
    found, made = trained(tmp_path / "killed", model, data, epochs=3)
    assert found.read_bytes() == wanted.read_bytes()
    assert made.notes[0] == "qat was interrupted, and went on after epoch 1"


def test_an_operator_that_can_not_be_trained_through_is_named(data: Dataset, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["rows", "weight"], ["sums"]),
        helper.make_node("Hardmax", ["sums"], ["scores"]),
    ]
    model = saved(tmp_path / "x.onnx", nodes, {"weight": numpy.eye(4)}, inputs=("batch", 4), outputs=("batch", 4))
    with pytest.raises(BadSpec, match="qat can't train through Hardmax: use quantize"):
        trained(tmp_path, model, data)


def test_names_of_classes_are_carried_along(data: Dataset, tmp_path: Path) -> None:
    graph.clean(spread(tmp_path), to=tmp_path / "named.onnx", labels=["a", "b", "c", "d"])
    result, _ = trained(tmp_path, tmp_path / "named.onnx", data, epochs=1)
    answers = graph.open_session(result).run(None, {"rows": data.test.rows[:5]})
    assert [["a", "b", "c", "d"][place] for place in answers[0].argmax(1)] == list(answers[1])


# --- operators ---


def floats(*shape: int) -> NDArray[Any]:
    return CHANCE.normal(size=shape).astype("float32")


def whole(*numbers: int) -> NDArray[Any]:
    return numpy.array(numbers, dtype="int64")


CASES: list[tuple[str, list[NDArray[Any]], dict[str, Any]]] = [
    ("Conv", [floats(2, 4, 9), floats(6, 2, 3), floats(6)], {"group": 2, "strides": [2], "pads": [2, 1]}),
    ("Conv", [floats(2, 3, 7, 6), floats(4, 3, 3, 2)], {"dilations": [2, 1], "pads": [0, 1, 2, 3]}),
    ("MaxPool", [floats(2, 3, 7, 6)], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    ("MaxPool", [floats(2, 3, 7)], {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}),
    ("MaxPool", [floats(2, 3, 7)], {"kernel_shape": [3]}),
    ("GlobalAveragePool", [floats(2, 3, 5, 4)], {}),
    ("Gemm", [floats(3, 4), floats(5, 3), floats(5)], {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("MatMul", [floats(2, 3, 4), floats(2, 4, 5)], {}),
    ("Reshape", [floats(2, 3, 4), whole(0, -1)], {}),
    ("Flatten", [floats(2, 3, 4)], {"axis": 2}),
    ("Unsqueeze", [floats(2, 3), whole(-1, 1)], {}),
    ("Squeeze", [floats(2, 1, 3, 1), whole(1, -1)], {}),
    ("Squeeze", [floats(2, 1, 3, 1)], {}),
    ("Transpose", [floats(2, 3, 4)], {"perm": [2, 0, 1]}),
    ("Transpose", [floats(2, 3, 4)], {}),
    ("Concat", [floats(2, 3), floats(2, 4)], {"axis": -1}),
    ("Gather", [floats(4, 5), whole(-1, 0)], {"axis": 1}),
    ("Gather", [floats(4, 5), numpy.array([[1, 2], [3, 0]])], {}),
    ("ReduceMean", [floats(2, 3, 4), whole(-1)], {"keepdims": 0}),
    ("ReduceMean", [floats(2, 3, 4)], {}),
    ("LayerNormalization", [floats(2, 3, 4), floats(3, 4), floats(3, 4)], {"axis": 1, "epsilon": 1e-3}),
    ("BatchNormalization", [floats(2, 3, 4), *(abs(floats(3)) for _ in range(4))], {"epsilon": 1e-3}),
    ("Clip", [floats(3, 4), numpy.float32(-0.5), numpy.float32(0.5)], {}),
    ("LeakyRelu", [floats(3, 4)], {"alpha": 0.3}),
    ("Softmax", [floats(3, 4)], {"axis": 0}),
    *((name, [floats(3, 4)], {}) for name in ("Relu", "Sigmoid", "Tanh", "Erf", "Identity")),
    ("Sqrt", [abs(floats(3, 4))], {}),
    *((name, [floats(3, 4), floats(4)], {}) for name in ("Add", "Sub", "Mul", "Div")),
]


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_operator_answers_as_onnx_runtime_does(
    kind: str, inputs: list[NDArray[Any]], attributes: dict[str, Any], tmp_path: Path
) -> None:
    names = [f"i{index}" for index in range(len(inputs))]
    node = helper.make_node(kind, names, ["o"], **attributes)
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in zip(names, inputs, strict=True)
    ]
    made = helper.make_graph([node], "one", given, [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, dict(zip(names, map(numpy.asarray, inputs), strict=True)))
    qat_operators.check([node])
    told = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    found = qat_operators.compute(node, [torch.from_numpy(numpy.array(value)) for value in inputs], told).numpy()
    assert found.shape == wanted.shape
    assert numpy.allclose(found, wanted, atol=1e-5)


def test_every_operator_is_compared() -> None:
    assert {kind for kind, _, _ in CASES} | {"Gelu"} == set(qat_operators.OPERATORS)  # Gelu is of opset 20


def test_a_padding_that_follows_from_the_size_is_refused() -> None:
    node = helper.make_node("Conv", ["a", "b"], ["c"], auto_pad="SAME_UPPER")
    with pytest.raises(BadSpec, match="through Conv"):
        qat_operators.check([node])


def test_gelu_has_both_forms() -> None:
    rows = torch.from_numpy(floats(50))
    for form, wanted in (("none", rows * 0.5 * (1 + (rows / 2**0.5).erf())), ("tanh", None)):
        node = helper.make_node("Gelu", ["a"], ["b"], approximate=form)
        told = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        found = qat_operators.compute(node, [rows], told)
        exact = wanted if wanted is not None else rows * torch.sigmoid(1.5957691216 * (rows + 0.044715 * rows**3))
        assert torch.allclose(found, exact, atol=1e-5)


@pytest.mark.deep
def test_a_build_holds_its_checks_and_gates(tmp_path: Path) -> None:
    step = {"pass": "qat", "parameters": {"epochs": 1}}
    gates = [
        {"metric": "accuracy", "maxDegradation": 0.02, "against": "Source"},
        {"metric": "agreement", "threshold": 0.97},
    ]
    result = run_build(spec(TRAIN, step, gates=gates), out=tmp_path / "out")
    metrics = result["metrics"]
    assert metrics["agreement"]["value"] >= 0.995
    assert metrics["sizeBytes"]["value"] < 0.3 * metrics["sizeBytes.source"]["value"]
