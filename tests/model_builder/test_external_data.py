"""A graph whose weights lie in a file beside it: written, built, verified, pulled, and served like any other."""

import shutil
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_builder import evaluation, graph, graph_file
from model_builder.errors import ArtifactCorrupt
from model_builder.finished import read
from model_builder.passes import float16, int8
from model_builder.passes.base import Context
from model_builder.progress import SilentReporter
from model_builder.pull import pull
from model_builder.triton import Serving
from tests.model_builder.conftest import QUANTIZE, run_build, spec
from tests.model_builder.servers import Triton
from tests.model_builder.test_pass_quantize import given, layered

__all__ = ["given"]
DATA = "repository/digits/1/model.onnx.data"


@pytest.fixture
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every graph counts as large."""
    monkeypatch.setattr(graph_file, "DATA_FILE_FROM", 1)


def product(*sides: int) -> onnx.ModelProto:
    """Rows times square matrices of random numbers."""
    chance = numpy.random.default_rng(0)
    weights = [chance.standard_normal((side, side), dtype="float32") for side in sides]
    part = helper.make_graph(
        [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(len(sides))],
        "product",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["batch", sides[0]])],
        [helper.make_tensor_value_info(f"x{len(sides)}", TensorProto.FLOAT, ["batch", sides[-1]])],
        [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)],
    )
    return helper.make_model(part, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_weights_beside_the_graph_give_the_same_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = product(130, 130), numpy.ones((3, 130), dtype="float32")
    alone, apart, again = (tmp_path / name / "model.onnx" for name in ("alone", "apart", "again"))
    for path in (alone, apart, again):
        path.parent.mkdir()
    graph_file.write(model, folder=tmp_path, to=alone)
    monkeypatch.setattr(graph_file, "DATA_FILE_FROM", 2 * 130 * 130 * 4)  # their size, to the byte
    graph_file.write(model, folder=tmp_path, to=apart)
    graph.clean(apart, to=again)
    assert [len(graph_file.files(path)) for path in (alone, apart, again)] == [1, 2, 2]
    assert apart.stat().st_size < 1000
    offsets = {
        entry.value
        for tensor in onnx.load(apart, load_external_data=False).graph.initializer
        for entry in tensor.external_data
        if entry.key == "offset"
    }
    assert offsets == {"0", "131072"}  # 67 600 bytes, and room up to the next multiple of 64 KiB
    answers = [graph.predict(graph.open_session(path), rows) for path in (alone, apart, again)]
    assert all((answer == answers[0]).all() for answer in answers)
    assert graph_file.files(again)[1].read_bytes() == graph_file.files(apart)[1].read_bytes()
    monkeypatch.setattr(graph_file, "DATA_FILE_FROM", 2 * 130 * 130 * 4 + 1)
    graph.clean(apart, to=tmp_path / "joined.onnx")
    assert (tmp_path / "joined.onnx").read_bytes() == _cleaned(alone, tmp_path / "same.onnx").read_bytes()


@pytest.mark.deep
@pytest.mark.parametrize("way", ["static", "dynamic", "float16"])
def test_lighter_graphs_have_data_beside_them_where_graphs_are_large(
    way: str, given: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = numpy.random.default_rng(2)
    plain = layered(tmp_path / "plain.onnx", [chance.random((4, 600)), chance.random((600, 600))])
    prepared = int8.prepare(plain, folder=tmp_path)
    ranges = int8.measure_ranges(prepared, sample=given.data.train.rows[:8], method="MinMax")

    def made() -> Path:
        if way == "float16":
            return float16.apply(graph=plain, parameters=float16.Parameters(), context=given)
        if way == "static":
            int8.static(prepared, ranges=ranges, method="MinMax", to=tmp_path / "lighter.onnx")
        else:
            int8.dynamic(prepared, to=tmp_path / "lighter.onnx")
        return tmp_path / "lighter.onnx"

    def answers(path: Path) -> Any:
        graph.clean(path, to=tmp_path / "clean" / "model.onnx")
        return graph.predict(graph.open_session(tmp_path / "clean" / "model.onnx"), given.data.test.rows)

    (tmp_path / "clean").mkdir()
    alone = made()
    assert len(graph_file.files(alone)) == 1
    wanted = answers(alone)
    monkeypatch.setattr(graph_file, "DATA_FILE_FROM", 2)
    sizes = [[file.stat().st_size for file in graph_file.files(made())] for _ in range(2)]
    assert sizes[0] == sizes[1]  # what an earlier result left there is not added to
    assert len(sizes[0]) == 2 and sizes[0][1] >= 360_000
    assert (answers(made()) == wanted).all()
    monkeypatch.undo()
    assert len(graph_file.files(made())) == 1


def test_constants_inside_of_operators_are_taken_in(tmp_path: Path) -> None:
    inner = [helper.make_graph([helper.make_node("Identity", [f"c{i}"], [f"y{i}"])], f"g{i}", [],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [600])],
        [numpy_helper.from_array(numpy.full(600, i, dtype="float32"), f"c{i}")]) for i in range(2)]  # fmt: skip
    part = helper.make_graph(
        [helper.make_node("If", ["yes"], ["y"], then_branch=inner[1], else_branch=inner[0])],
        "chooses",
        [helper.make_tensor_value_info("yes", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [600])],
    )
    model = helper.make_model(part, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "apart.onnx", save_as_external_data=True, location="apart.data")
    assert (tmp_path / "apart.data").stat().st_size >= 4800
    (tmp_path / "whole").mkdir()
    graph.clean(tmp_path / "apart.onnx", to=tmp_path / "whole" / "model.onnx")
    (answer,) = graph.open_session(tmp_path / "whole" / "model.onnx").run(None, {"yes": numpy.array(True)})
    assert (answer == 1).all()


def _cleaned(path: Path, to: Path) -> Path:
    graph.clean(path, to=to)
    return to


@pytest.mark.usefixtures("_apart")
def test_graphs_with_other_weights_beside_them_are_not_the_same(tmp_path: Path) -> None:
    paths = [tmp_path / name / "model.onnx" for name in ("one", "two", "other")]
    for path in paths:
        path.parent.mkdir()
        graph_file.write(product(130), folder=tmp_path, to=path)
    one, two, other = paths
    content = bytearray(graph_file.files(other)[1].read_bytes())
    content[0] ^= 1
    graph_file.files(other)[1].write_bytes(content)
    assert one.read_bytes() == other.read_bytes()
    assert evaluation.same_bytes(one, two)
    assert not evaluation.same_bytes(one, other)
    graph_file.files(two)[1].unlink()
    assert not evaluation.same_bytes(one, two)


@pytest.mark.deep
@pytest.mark.usefixtures("_apart")
def test_a_build_with_data_beside_the_graph_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run_build(spec(QUANTIZE, gates=[]), out=out, cache=tmp_path / "cache")
    artifact = read(out)
    files = {entry["path"]: entry["bytes"] for entry in artifact.manifest["files"]}
    assert result["metrics"]["sizeBytes"]["value"] == files[DATA] + files["repository/digits/1/model.onnx"]
    again = run_build(spec(QUANTIZE, gates=[]), out=tmp_path / "again", cache=tmp_path / "cache")
    assert again["digest"] == result["digest"]
    pull(
        uri=result["uri"],
        digest=result["digest"],
        model="m",
        to=tmp_path / "served",
        backend="onnxruntime",
        serving=Serving(),
        reporter=SilentReporter(),
    )
    rows = numpy.ones((2, 8, 8), dtype="float32")
    pulled, built = (graph.open_session(path) for path in (tmp_path / "served/m/1/model.onnx", artifact.model))
    assert (graph.predict(pulled, rows) == graph.predict(built, rows)).all()
    content = bytearray((out / DATA).read_bytes())
    content[len(content) // 2] ^= 1
    (out / DATA).write_bytes(content)
    with pytest.raises(ArtifactCorrupt, match=r"model\.onnx\.data"):
        read(out)


@pytest.mark.real
@pytest.mark.usefixtures("_apart")
def test_triton_serves_a_graph_with_data_beside_it(tmp_path: Path, triton: Triton) -> None:
    from tritonclient import grpc  # type: ignore[import-untyped]

    from tests.model_builder.test_triton_server import infer, serve

    result = run_build(spec(gates=[]), out=tmp_path / "out")
    rows = numpy.random.default_rng(0).integers(0, 17, (4, 8, 8)).astype("float32")
    with grpc.InferenceServerClient(triton.grpc) as client:
        serve(client, triton, result["uri"], result["digest"], model="apart", serving={})
        answer = infer(client, "apart", rows)
    shutil.rmtree(triton.repository / "apart")
    expected = graph.predict(graph.open_session(read(tmp_path / "out").model), rows)
    assert numpy.abs(answer - expected).max() < 1e-6
