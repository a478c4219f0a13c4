"""The classic mistakes, each planted into a build with the gates that every build has; and formats that are right."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16  # type: ignore[import-untyped]

from model_builder import passes
from model_builder.errors import GateFailed
from model_builder.passes.base import Pass, Stage
from tests.model_builder.conftest import run_build, spec

pytestmark = pytest.mark.deep

TRAIN = {"pass": "train", "parameters": {"epochs": 6}}
INT8: dict[str, Any] = {"pass": "quantize", "parameters": {"calibrationRows": 128}}
BLANK: dict[str, Any] = {"pass": "quantize", "parameters": {"calibrationRows": 128, "calibrationSample": "Blank"}}


@dataclass(frozen=True)
class Parameters:
    """None."""


def on_graph(name: str, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Pass:
    def apply(*, graph: Path, parameters: Parameters, context: Any) -> Path:
        to: Path = context.workspace / "changed.onnx"
        onnx.save(change(onnx.load(graph)), to)
        return to

    return Pass(name=name, stage=Stage.GRAPH, summary="", parameters=Parameters, apply=apply, tolerance=0.05)


def before_the_rest(model: onnx.ModelProto, kind: str, *more: str, **attributes: Any) -> onnx.ModelProto:
    """Put a node between the input and all that uses it."""
    source = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["planted" if name == source else name for name in node.input]
    model.graph.node.insert(0, helper.make_node(kind, [source, *more], ["planted"], **attributes))
    return model


def float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """What the converter leaves out of order is put in order."""
    converted: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    waiting, known = list(converted.graph.node), {"", *(t.name for t in converted.graph.initializer)}
    known |= {value.name for value in converted.graph.input}
    del converted.graph.node[:]
    while waiting:
        ready = next(node for node in waiting if known.issuperset(node.input))
        waiting.remove(ready)
        known.update(ready.output)
        converted.graph.node.append(ready)
    return converted


def unscaled(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.initializer.append(numpy_helper.from_array(numpy.array(16, dtype="float32"), "sixteen"))
    return before_the_rest(model, "Mul", "sixteen")


def transposed(model: onnx.ModelProto) -> onnx.ModelProto:
    return before_the_rest(model, "Transpose", perm=[0, 2, 1])


def pruned(*, network: torch.nn.Module, parameters: Parameters, context: Any) -> torch.nn.Module:
    """The smallest 95 % of the weights set to zero, and nothing learned after."""
    weights = [p for p in network.parameters() if p.dim() > 1]
    limit = torch.cat([p.detach().abs().flatten() for p in weights]).quantile(0.95)
    with torch.no_grad():
        for weight in weights:
            weight.mul_(weight.abs() > limit)
    return network


PLANTED = (
    on_graph("planted-unscaled", unscaled),
    on_graph("planted-transposed", transposed),
    on_graph("planted-float16", float16),
    Pass(name="planted-pruned", stage=Stage.NETWORK, summary="", parameters=Parameters, apply=pruned, lossy=True),
)


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in PLANTED:
        monkeypatch.setitem(passes.REGISTRY, entry.name, entry)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training for all."""
    return tmp_path_factory.mktemp("planted") / "cache"


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("recipe", [[], [INT8], [{"pass": "planted-float16"}]], ids=["fp32", "int8", "fp16"])
def test_what_is_right_passes_the_gates_of_every_build(
    recipe: list[dict[str, Any]], seed: int, tmp_path: Path, cache: Path
) -> None:
    raw = spec(TRAIN, *recipe, data={"name": "digits", "seed": seed})
    assert run_build(raw, out=tmp_path / "out", cache=cache)["metrics"]["accuracy"]["value"] > 0.95


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "fault",
    [BLANK, {"pass": "planted-pruned"}, {"pass": "planted-unscaled"}, {"pass": "planted-transposed"}],
    ids=["blank calibration", "pruned", "unscaled", "transposed"],
)
def test_a_classic_mistake_is_caught_by_the_gates_of_every_build(
    fault: dict[str, Any], seed: int, tmp_path: Path, cache: Path
) -> None:
    raw = spec(TRAIN, fault, data={"name": "digits", "seed": seed})
    with pytest.raises(GateFailed, match=r"the gate asks for|outputShift is"):
        run_build(raw, out=tmp_path / "out", cache=cache)
