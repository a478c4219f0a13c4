"""TorchScript beside the graph: the same answers, the same bytes for the same network, and nothing of this machine."""

import json
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from model_builder import torch_script
from model_builder.data.base import Dataset, Task
from model_builder.decode import decode
from model_builder.errors import BadSpec
from model_builder.finished import read
from model_builder.progress import SilentReporter
from model_builder.pull import pull
from model_builder.spec import Spec, resolve
from model_builder.triton import Serving
from tests.model_builder.conftest import QUANTIZE, Artifact, run_build, spec
from tests.model_builder.networks import dataset
from tests.model_builder.test_pass_quantize import layered

FORMATS = {"formats": ["TorchScript"]}


def network(*, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 2))).eval()


def written(folder: Path, made: nn.Module, data: Dataset) -> Path:
    folder.mkdir()
    torch_script.write(made, data=data, to=folder / torch_script.NAME)
    assert [path.name for path in folder.iterdir()] == [torch_script.NAME]
    return folder / torch_script.NAME


@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.REGRESSION])
def test_what_is_written_answers_as_the_network(tmp_path: Path, task: Task) -> None:
    data, made = dataset(task=task), network()
    module = torch_script.load(written(tmp_path / "a", made, data))
    with torch.no_grad():
        for rows in (data.test.rows, data.test.rows[:1]):
            given = torch.from_numpy(rows)
            wanted = made(given) if task is Task.REGRESSION else made(given).softmax(-1)
            assert torch.equal(module(given), wanted)


def test_the_bytes_follow_from_the_network_alone(tmp_path: Path) -> None:
    """Not from what was traced before, nor from where this file lies."""
    data = dataset()
    first, other, again = (
        written(tmp_path / name, network(seed=seed), data).read_bytes() for name, seed in (("a", 0), ("b", 1), ("c", 0))
    )
    assert first == again
    assert first != other
    assert str(Path(torch.__file__).parent).encode() not in first
    assert b"debug_pkl" not in first


@pytest.mark.parametrize(("outputs", "passed"), [(2, True), (3, False)])
def test_what_differs_from_the_graph_is_found(tmp_path: Path, outputs: int, passed: bool) -> None:
    data, made = dataset(task=Task.REGRESSION), nn.Linear(6, 2, bias=False)
    weights = made.weight.detach().numpy().T
    wanted = layered(tmp_path / "m.onnx", [numpy.hstack([weights, weights])[:, :outputs]])
    other = layered(tmp_path / "n.onnx", [weights * 1.001])
    path = written(tmp_path / "a", made, data)
    assert torch_script.check(path, final=wanted, data=data).passed is passed
    found = torch_script.check(path, final=other, data=data)
    assert (found.passed, found.broken) == (False, True)


@pytest.mark.parametrize(
    ("recipe", "options", "sentence"),
    [
        ([QUANTIZE], FORMATS, "which nothing of 'quantize' is in"),
        ([], {**FORMATS, "classNames": True}, "answers with no strings"),
        ([], {"formats": ["Plan"]}, "formats"),
    ],
)
def test_what_only_the_graph_has_is_refused(recipe: list[object], options: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadSpec, match=sentence):
        resolve(decode(Spec, spec(*recipe, export=options), where="spec"))  # type: ignore[arg-type]


def test_a_graph_has_no_network_to_write(tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match="the source is an ONNX graph"):
        torch_script.write(None, data=dataset(), to=tmp_path / "model.pt")


@pytest.mark.deep
def test_an_artifact_with_torch_script_is_pulled_for_its_backend(tmp_path: Path, artifact: Artifact) -> None:
    out = tmp_path / "out"
    result = run_build(spec(gates=[], export=FORMATS), out=out)
    assert read(out).manifest["checks"]["torchScriptMaxDifference"]["value"] < 1e-5
    folder = pulled(result["uri"], result["digest"], to=tmp_path / "served")
    assert 'backend: "pytorch"' in (folder / "config.pbtxt").read_text()
    (case, *_) = json.loads((folder / "golden.json").read_text())["requests"]
    (given,), (wanted,) = case["request"]["inputs"], case["response"]["outputs"]
    rows = torch.tensor(given["data"]).reshape(given["shape"])
    with torch.no_grad():
        answers = torch_script.load(folder / "1/model.pt")(rows).numpy()
    assert numpy.abs(answers.ravel() - wanted["data"]).max() < 1e-5
    with pytest.raises(BadSpec, match=r"has no model\.pt: build it with TorchScript"):
        pulled(artifact.uri, artifact.digest, to=tmp_path / "refused")


def pulled(uri: str, digest: str, *, to: Path) -> Path:
    """As a pod that serves with the PyTorch backend does it."""
    told = SilentReporter()
    pull(uri=uri, digest=digest, model="m", to=to, backend="pytorch", serving=Serving(), reporter=told)
    return to / "m"
