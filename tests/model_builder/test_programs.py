"""Exported programs of torch (.pt2): loaded if they are nothing but arithmetic on tensors."""

import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from model_builder.architectures import REGISTRY
from model_builder.errors import BadData
from model_builder.sources import program
from tests.model_builder.loading import MARK, Evil, answers, expected, load, rows, state

pytestmark = pytest.mark.deep


@pytest.fixture(autouse=True)
def _nothing_ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(MARK, raising=False)
    yield
    assert MARK not in os.environ, "code of a source was executed"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    network = REGISTRY["digits-cnn"]().network
    network.load_state_dict(state())
    batch = torch.export.Dim("batch", min=1)
    path = tmp_path_factory.mktemp("pt2") / "x.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network.eval(), (rows(),), dynamic_shapes=({0: batch},)), path)
    return path.read_bytes()


def rewritten(raw: bytes, change: Callable[[str, bytes], bytes], extra: dict[str, bytes] | None = None) -> bytes:
    """The archive with changed entries; stored, as torch stores them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, content in (extra or {}).items():
            new.writestr(f"{old.namelist()[0].split('/')[0]}/{name}", content)
    return buffer.getvalue()


def in_json(name: str, find: str, replace: str) -> Callable[[str, bytes], bytes]:
    def change(entry: str, content: bytes) -> bytes:
        if not entry.endswith(name):
            return content
        assert find in content.decode(), (entry, find)
        return content.decode().replace(find, replace, 1).encode()

    return change


def test_an_exported_program_answers_as_before(exported: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pt2").write_bytes(exported)
    made = load(tmp_path / "x.pt2", tmp_path)
    assert made.architecture is not None
    assert made.architecture.input_name == "image"
    assert torch.allclose(answers(made.architecture.network), expected(), atol=1e-5)


def evil_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save((Evil(),), buffer)
    return buffer.getvalue()


CALL = "__import__('os').environ.__setitem__('" + MARK + "','yes')"
TARGET = '"target": "torch.ops.aten.unsqueeze.default"'
ATTACKS: list[tuple[str, Callable[[str, bytes], bytes], dict[str, bytes], str]] = [
    ("weight", in_json("weights_config.json", '"use_pickle": false', '"use_pickle": true'), {}, "pickled part"),
    (
        "constant",
        in_json("constants_config.json", "{}", '{"a": {"path_name": "opaque_obj_0"}}'),
        {},
        "class of its own",
    ),
    ("custom", in_json("constants_config.json", "{}", '{"a": {"path_name": "custom_obj_0"}}'), {}, "class of its own"),
    ("inputs", lambda n, c: evil_bytes() if n.endswith("sample_inputs/model.pt") else c, {}, "not plain tensors"),
    ("target", in_json("model.json", TARGET, '"target": "torch.os.system"'), {}, "calls 'torch.os.system'"),
    ("getter", in_json("model.json", TARGET, '"target": "_operator.attrgetter"'), {}, "calls '_operator.attrgetter'"),
    ("loader", in_json("model.json", TARGET, '"target": "torch.ops.load_library"'), {}, "torch.ops.load_library"),
    ("shape", in_json("model.json", "\"Symbol('s", f"\"{CALL} or Symbol('s"), {}, "more than arithmetic"),
    ("tree", in_json("model.json", "builtins.tuple", "evil.Class"), {}, "input or output of type"),
    ("legacy", lambda n, c: c, {"data/weights/model.pt": evil_bytes()}, "'data/weights/model.pt', which may hold code"),
    ("library", lambda n, c: c, {"data/aotinductor/model/x.so": b"\x7fELF"}, "which may hold code"),
    ("path", lambda n, c: c, {"../../etc/x": b""}, "leads out of the archive"),
]


@pytest.mark.parametrize(("name", "change", "extra", "sentence"), ATTACKS, ids=[attack[0] for attack in ATTACKS])
def test_a_program_that_would_run_code_is_refused_and_says_why(
    name: str,
    change: Callable[[str, bytes], bytes],
    extra: dict[str, bytes],
    sentence: str,
    exported: bytes,
    tmp_path: Path,
) -> None:
    (tmp_path / "x.pt2").write_bytes(rewritten(exported, change, extra))
    with pytest.raises(BadData, match=re.escape(sentence)) as caught:
        load(tmp_path / "x.pt2", tmp_path)
    assert caught.value.exit_code == 4


def test_guards_of_a_program_are_not_run(exported: bytes, tmp_path: Path) -> None:
    planted = in_json("model.json", '"guards_code": []', f'"guards_code": [{json.dumps(CALL)}]')
    (tmp_path / "x.pt2").write_bytes(rewritten(exported, planted))
    made = load(tmp_path / "x.pt2", tmp_path)
    assert made.architecture is not None
    answers(made.architecture.network)


def test_a_transformer_with_free_lengths_passes_the_check(tmp_path: Path) -> None:
    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(10, 8)
            self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            encoded: torch.Tensor = self.layer(self.embedding(ids))
            return encoded[:, : encoded.shape[1] // 2].mean(1)

    sizes = {0: torch.export.Dim("batch", min=1), 1: torch.export.Dim.AUTO}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = torch.zeros(2, 12, dtype=torch.int64)
        torch.export.save(torch.export.export(Encoder().eval(), (ids,), dynamic_shapes=(sizes,)), tmp_path / "x.pt2")
    program.check(tmp_path / "x.pt2", name="x.pt2", limit=10**6)


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated"])
def test_a_damaged_program_is_bad_data(damage: str, exported: bytes, tmp_path: Path) -> None:
    half = exported[: len(exported) // 2]
    (tmp_path / "x.pt2").write_bytes({"empty": b"", "garbage": b"\x00\xff" * 500, "truncated": half}[damage])
    with pytest.raises(BadData, match=r"x\.pt2"):
        load(tmp_path / "x.pt2", tmp_path)
