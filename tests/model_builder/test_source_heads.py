"""Weights of an earlier task under a fresh last layer, and sizes of built-in networks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from model_builder import sources
from model_builder.architectures import REGISTRY
from model_builder.errors import BadData, BadSpec
from model_builder.sources import Source
from model_builder.sources.base import Code
from tests.model_builder.loading import load

HEAD = ("head.3.weight", "head.3.bias")


def state(*, classes: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    found = dict(REGISTRY["digits-cnn"]().network.state_dict())
    return found | {HEAD[0]: torch.randn(classes, 128), HEAD[1]: torch.randn(classes)}


@pytest.mark.parametrize("classes", [10, 3])
def test_a_fresh_head_leaves_the_other_weights_as_they_are(classes: int, tmp_path: Path) -> None:
    save_file(state(classes=classes), tmp_path / "x.safetensors")
    made = load(tmp_path / "x.safetensors", tmp_path, head="Fresh").architecture
    assert made is not None
    found, given = made.network.state_dict(), state(classes=classes)
    same = {name for name in found if found[name].shape == given[name].shape and torch.equal(found[name], given[name])}
    assert same == found.keys() - set(HEAD)
    torch.manual_seed(0)
    assert torch.equal(found[HEAD[0]], REGISTRY["digits-cnn"]().network.state_dict()[HEAD[0]])


def test_a_head_of_another_task_is_refused_unless_a_fresh_one_is_asked_for(tmp_path: Path) -> None:
    save_file(state(classes=3), tmp_path / "x.safetensors")
    with pytest.raises(BadData, match=r"no weights of architecture 'digits-cnn'.*size mismatch for head\.3"):
        load(tmp_path / "x.safetensors", tmp_path)


def test_a_whole_model_has_no_fresh_head(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"")
    with pytest.raises(BadSpec, match=r"head has no effect on a \.onnx file, which is a whole model"):
        load(tmp_path / "x.onnx", tmp_path, head="Fresh")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"uri": "builtin://digits-cnn", "head": "Fresh"}, r"head has no effect on 'builtin://digits-cnn'"),
        ({"uri": "builtin://digits-cnn", "parameters": {"width": 8}}, r"parameters has no effect on 'digits-cnn'"),
        ({"uri": "builtin://text-encoder", "parameters": {"width": 6}}, r"source\.parameters\.width is 6; it must be"),
        ({"uri": "file:///x.pt", "architecture": "text-encoder", "parameters": {"deep": 1}}, "unknown key 'deep'"),
        ({"uri": "file:///x.pt", "parameters": {"width": 1}}, r"no effect on 'digits-cnn', which has one size"),
        ({"uri": "file:///x.pt", "code": Code("net:make"), "parameters": {"a": 1}}, r"move it to spec\.source\.code"),
    ],
)
def test_what_has_no_effect_on_a_source_is_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSpec, match=message):
        sources.check(Source(**source))
