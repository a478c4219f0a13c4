"""Models from files: what each format gives, and what is refused because it could run code."""

import os
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file

from model_builder import sources
from model_builder.decode import decode
from model_builder.errors import BadData, BadSpec
from model_builder.sources import Source, safety
from model_builder.sources.base import Code
from tests.model_builder.loading import MARK, Evil, answers, expected, load, state


@pytest.fixture(autouse=True)
def _nothing_ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(MARK, raising=False)
    yield
    assert MARK not in os.environ, "code of a source was executed"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin"])
def test_weights_make_the_network_that_they_were_saved_from(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    save_file(state(), path) if suffix == ".safetensors" else torch.save(state(), path)
    made = load(path, tmp_path)
    assert made.architecture is not None
    assert torch.equal(answers(made.architecture.network.eval()), expected())
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", made.digest or "")


# --- pickles ---


def test_a_pickled_call_is_refused_and_named(tmp_path: Path) -> None:
    torch.save({**state(), "extra": Evil()}, tmp_path / "x.pt")
    with pytest.raises(BadData, match=r"x\.pt would call __builtin__\.exec when it is loaded"):
        load(tmp_path / "x.pt", tmp_path)
    (tmp_path / "y.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BadData, match=r"y\.pt would call builtins\.exec when it is loaded"):
        load(tmp_path / "y.pt", tmp_path)


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(BadData, match=r"would call torch\.nn\.modules\.linear\.Linear"):
        load(tmp_path / "x.pt", tmp_path)


def test_names_that_are_fetched_from_the_memo_are_found(tmp_path: Path) -> None:
    sneaky = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x04true\x85R."
    (tmp_path / "x.pt").write_bytes(sneaky)
    with pytest.raises(BadData, match=r"would call posix\.system"):
        safety.check_pickle(tmp_path / "x.pt", name="x.pt")


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib", ".ckpt", ".h5", ".keras"])
def test_formats_that_run_code_are_refused_by_name_before_they_are_fetched(suffix: str) -> None:
    with pytest.raises(BadSpec, match=rf"'x\{suffix}': loading a \{suffix} file can run code"):
        sources.check(Source(uri=f"s3://bucket/x{suffix}"))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}))
        archive.writestr("x/data/0", bytes(50_000_000))
    with pytest.raises(BadData, match=r"unpacks to 50000.* refused as a zip bomb"):
        load(tmp_path / "x.pt", tmp_path, max_bytes=1_000_000)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".onnx"])
@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated"])
def test_damaged_files_are_bad_data(suffix: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    if suffix == ".safetensors":
        save_file(state(), path)
    elif suffix == ".onnx":
        path.write_bytes(onnx_model().SerializeToString())
    else:
        torch.save(state(), path)
    raw = path.read_bytes()
    path.write_bytes({"empty": b"", "garbage": b"\x00\xff" * 500, "truncated": raw[: len(raw) // 2]}[damage])
    with pytest.raises(BadData, match=rf"x\{suffix}"):
        load(path, tmp_path)


# --- ONNX ---


def onnx_model(*, domain: str = "", inputs: int = 1) -> Any:
    names = [f"input{index}" for index in range(inputs)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in names]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 2])
    weight = onnx.numpy_helper.from_array(numpy.ones((4, 2), dtype="float32"), "weight")
    nodes = [helper.make_node("MatMul", [names[0], "weight"], ["output"], domain=domain)]
    graph = helper.make_graph(nodes, "g", values, [output], [weight])
    imports = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def test_onnx_comes_as_a_graph_without_a_network(tmp_path: Path) -> None:
    onnx.save(onnx_model(), tmp_path / "x.onnx")
    made = load(tmp_path / "x.onnx", tmp_path)
    assert (made.architecture, made.graph) == (None, tmp_path / "x.onnx")


def test_data_beside_an_onnx_file_is_taken_in(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save(onnx_model(), folder / "x.onnx", save_as_external_data=True, location="x.data", size_threshold=0)
    for _ in range(2):  # a build loads it more than once
        made = load(folder, tmp_path)
        assert made.graph is not None
        (weight,) = onnx.load(made.graph, load_external_data=False).graph.initializer
        assert onnx.numpy_helper.to_array(weight).tolist() == [[1, 1]] * 4
    assert sorted(path.name for path in folder.iterdir()) == ["x.data", "x.onnx"]  # it is somebody else's


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link"])
def test_onnx_can_not_read_files_outside_of_its_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(32))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    model = onnx_model()
    (weight,) = model.graph.initializer
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    (folder / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadData, match=r"outside its folder: refused|leads out of the folder"):
        load(folder if location == "link" else folder / "x.onnx", tmp_path)


def test_onnx_with_operators_of_a_library_or_two_inputs_is_refused(tmp_path: Path) -> None:
    onnx.save(onnx_model(domain="evil.ops"), tmp_path / "x.onnx")
    with pytest.raises(BadData, match=r"has the operator evil.ops::MatMul, which needs a library"):
        load(tmp_path / "x.onnx", tmp_path)
    onnx.save(onnx_model(inputs=2), tmp_path / "x.onnx")
    with pytest.raises(BadData, match="has the inputs input0, input1 and the outputs output"):
        load(tmp_path / "x.onnx", tmp_path)


# --- the user's own code ---

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = torch.nn.Linear(4, width)

    def forward(self, rows):
        return self.layer(rows)

def make(width=2):
    if width < 0:
        raise ValueError("width is negative")
    return Net(width)

def text():
    return "no network"
"""


def own(tmp_path: Path, **code: Any) -> sources.SourceModel:
    folder = tmp_path / "own"
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(NET)
    save_file({"layer.weight": torch.ones(3, 4), "layer.bias": torch.zeros(3)}, folder / "x.safetensors")
    return load(folder, tmp_path, code=Code(**{"factory": "net:make", "path": "net.py", **code}))


def test_code_that_the_spec_names_makes_the_network(tmp_path: Path) -> None:
    made = own(tmp_path, parameters={"width": 3}, input_name="row")
    assert made.architecture is not None
    assert made.architecture.input_name == "row"
    assert made.architecture.network(torch.ones(1, 4)).tolist() == [[4.0, 4.0, 4.0]]
    first = made.digest
    (tmp_path / "own/net.py").write_text(NET + "\n# changed")
    source = Source(uri=(tmp_path / "own").as_uri(), code=Code("net:make", path="net.py", parameters={"width": 3}))
    assert sources.load(source, seed=0, workspace=tmp_path / "work").digest != first


def test_an_installed_package_makes_the_network(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(3, 4), "bias": torch.zeros(3)}, tmp_path / "x.safetensors")
    code = Code("torch.nn:Linear", parameters={"in_features": 4, "out_features": 3})
    made = load(tmp_path / "x.safetensors", tmp_path, code=code)
    assert made.architecture is not None
    assert isinstance(made.architecture.network, torch.nn.Linear)


def test_code_in_a_source_that_the_spec_does_not_name_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    save_file(state(), folder / "x.safetensors")
    for name in ("net.py", "__init__.py", "conftest.py"):
        (folder / name).write_text(f"import os; os.environ[{MARK!r}] = 'yes'")
    assert load(folder, tmp_path).architecture is not None


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        ({"factory": "net:absent"}, BadSpec, "net has no function 'absent'"),
        ({"parameters": {"width": -1}}, BadData, "net:make failed: ValueError: width is negative"),
        ({"parameters": {"height": 1}}, BadData, "net:make failed: TypeError"),
        ({"factory": "net:text"}, BadData, "gave a str, not a torch.nn.Module"),
        ({"path": "absent.py"}, BadData, "the source has no file 'absent.py'"),
        ({"factory": "no_such_package:make", "path": None}, BadSpec, "'no_such_package' can't be imported"),
        ({}, BadData, "holds no weights of architecture 'net:make'"),
    ],
)
def test_code_that_does_not_work_is_explained(
    code: dict[str, Any], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        own(tmp_path, **code)


# --- folders and specs ---


def test_the_model_of_a_folder_is_found_or_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    with pytest.raises(BadData, match="but has nothing of that kind"):
        load(folder, tmp_path)
    (folder / "x.pkl").write_bytes(b"")
    with pytest.raises(BadData, match=r"but has only x\.pkl, which can run code"):
        load(folder, tmp_path)
    save_file(state(), folder / "deep/x.safetensors")
    torch.save(state(), folder / "x.pt")
    assert load(folder, tmp_path).architecture is not None  # of two formats the safer one
    save_file(state(), folder / "y.safetensors")
    with pytest.raises(BadData, match=r"several \.safetensors files \(deep/x\.safetensors, y\.safetensors\): name one"):
        load(folder, tmp_path)
    assert load(folder, tmp_path, file="y.safetensors").architecture is not None
    (folder / "out.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(BadData, match=r"'out.safetensors', which leads out of the folder"):
        load(folder, tmp_path, file="y.safetensors")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"uri": "ftp://x/y"}, "schemes: known: az, builtin, file"),
        ({"uri": "builtin://digits-cmm"}, "did you mean 'digits-cnn'"),
        ({"uri": "builtin://digits-cnn", "file": "x.onnx"}, "have no effect on 'builtin://digits-cnn'"),
        ({"uri": "file:///x.onnx", "architecture": "resnet"}, "architecture is 'resnet'"),
        ({"uri": "hf://org/name"}, "hf://ORG/NAME@REVISION"),
        ({"uri": "hf://org/name@main"}, "40 hexadecimal digits"),
        ({"uri": "hf://org/name@" + "a" * 40 + "/../x"}, "40 hexadecimal digits"),
        ({"uri": "mlflow://model@champion"}, "an alias or a stage may move"),
        ({"uri": "mlflow://model/latest"}, "mlflow://NAME/VERSION"),
        ({"uri": "oci://host/name"}, "needs a tag or, better, a digest"),
        ({"uri": "s3://bucket"}, "it must be s3://bucket/key"),
        ({"uri": "file:///x", "file": "../x.onnx"}, "does not leave the source"),
        ({"uri": "file:///x", "file": "/x.onnx"}, "does not leave the source"),
        ({"uri": "file:///x", "code": {"factory": "os.system('x')"}}, "PACKAGE.MODULE:FUNCTION"),
        ({"uri": "file:///x", "code": {"factory": "a:b", "path": "../x.py"}}, "the path of a .py file in the source"),
    ],
)
def test_a_source_that_can_not_be_meant_is_refused(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadSpec, match=re.escape(sentence)):
        sources.check(decode(Source, section, where="spec.source"))
