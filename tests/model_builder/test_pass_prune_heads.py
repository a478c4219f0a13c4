import copy
import math
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import pytest
import torch
from torch import nn

from model_builder import export
from model_builder.architectures.base import Architecture
from model_builder.decode import decode
from model_builder.errors import BadSpec
from model_builder.passes import heads, prune
from model_builder.passes.base import Context
from model_builder.passes.narrow_attention import NarrowAttention
from model_builder.spec import Export
from tests.model_builder.networks import context, dataset

WIDTH, HEADS, LENGTH = 16, 4, 5


class Tokens(nn.Module):
    """Torch's own encoder over rows of LENGTH tokens; a token that begins with a negative number is padding."""

    def __init__(self, *, heads: int = HEADS) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, heads, dim_feedforward=32, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=heads > 1)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        padding = (rows[:, :, 0] < 0) & (torch.arange(LENGTH) > 1)
        return self.head(self.encoder(rows, src_key_padding_mask=padding)[:, 0])


class Bare(nn.Module):
    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.attention, self.head = attention, nn.Linear(WIDTH, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.head(self.attention(rows, rows, rows)[0].mean(dim=1))


def tokens() -> nn.Module:
    torch.manual_seed(0)
    return Tokens().eval()


def attention(**options: Any) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    made = nn.MultiheadAttention(WIDTH, HEADS, **{"batch_first": True, **options})
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return made.eval()


def pruned(folder: Path, network: nn.Module, **raw: Any) -> tuple[nn.Module, Context]:
    given = context(folder, dataset(shape=(LENGTH, WIDTH)))
    parameters = decode(prune.Parameters, {"epochs": 0, "structure": "Heads", **raw}, where="prune")
    return prune.apply(network=copy.deepcopy(network), parameters=parameters, context=given), given


def muted(whole: nn.MultiheadAttention, *, kept: list[int]) -> nn.MultiheadAttention:
    """The whole attention, but nobody listens to the heads that are to go."""
    made = copy.deepcopy(whole)
    size = whole.head_dim
    with torch.no_grad():
        for head in set(range(whole.num_heads)) - set(kept):
            made.out_proj.weight[:, head * size : (head + 1) * size] = 0
    return made


MASKS: list[dict[str, Any]] = [
    {},
    {"need_weights": False},
    {"attn_mask": torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), diagonal=1), "is_causal": True},
    {"attn_mask": torch.linspace(-1, 1, LENGTH * LENGTH).reshape(LENGTH, LENGTH), "need_weights": False},
    {"key_padding_mask": torch.tensor([[False] * 5, [False, False, True, True, True], [False] * 4 + [True]])},
    {
        "key_padding_mask": torch.tensor([[0.0] * 5, [0.0, 0, 0, 0, -math.inf], [0.0] * 4 + [-math.inf]]),
        "attn_mask": torch.zeros(LENGTH, LENGTH),
        "need_weights": False,
    },
]


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"batch_first": False}])
def test_fewer_heads_answer_as_the_same_heads_muted(masks: dict[str, Any], options: dict[str, Any]) -> None:
    whole = attention(**options)
    narrow = NarrowAttention(whole, kept=torch.tensor([1, 3])).eval()
    rows = torch.randn(3, LENGTH, WIDTH)
    rows = rows if options.get("batch_first", True) else rows.transpose(0, 1)
    wanted, _ = muted(whole, kept=[1, 3])(rows, rows, rows, **masks)
    found, weights = narrow(rows, rows, rows, **masks)
    assert torch.allclose(found, wanted, atol=1e-5)
    _, each = whole(rows, rows, rows, **{**masks, "need_weights": True, "average_attn_weights": False})
    if masks.get("need_weights", True):
        assert weights is not None
        assert torch.allclose(weights, each[:, [1, 3]].mean(dim=1), atol=1e-5)
    else:
        assert weights is None


def test_one_sequence_alone_is_answered_as_in_a_batch() -> None:
    whole = attention()
    narrow = NarrowAttention(whole, kept=torch.tensor([0, 2])).eval()
    rows = torch.randn(LENGTH, WIDTH)
    alone, weights = narrow(rows, rows, rows)
    batch, _ = narrow(rows[None], rows[None], rows[None])
    assert torch.allclose(alone, batch[0], atol=1e-6)
    assert weights is not None
    assert weights.shape == (LENGTH, LENGTH)


def test_what_lost_heads_can_lose_more() -> None:
    whole = attention()
    once = NarrowAttention(whole, kept=torch.tensor([0, 2, 3]))
    twice = NarrowAttention(once, kept=torch.tensor([1, 2])).eval()
    rows = torch.randn(3, LENGTH, WIDTH)
    wanted, _ = muted(whole, kept=[2, 3])(rows, rows, rows)
    assert torch.allclose(twice(rows, rows, rows)[0], wanted, atol=1e-5)
    assert heads._attentions(nn.Sequential(once)) == {"0": once}


def test_projections_become_smaller_and_the_encoder_still_reads_padding(tmp_path: Path) -> None:
    network = tokens()
    small, given = pruned(tmp_path, network, amount=0.5)
    for name in ("encoder.layers.0.self_attn", "encoder.layers.1.self_attn"):
        layer = small.get_submodule(name)
        assert tuple(layer.in_proj_weight.shape) == (3 * 8, 16)
        assert tuple(layer.out_proj.weight.shape) == (16, 8)
        assert given.record["layers"][name] == {"heads": 2}
    assert given.record["parametersBefore"] - given.record["parametersAfter"] == 2 * (16 * 24 + 24 + 16 * 8)
    rows = torch.randn(6, LENGTH, WIDTH)
    rows[:, :, 0] = rows[:, :, 0].abs() * torch.tensor([1, 1, 1, -1, -1])
    with torch.no_grad():  # where torch would take its fast path, which wants padding at the end
        fast = small(rows)
    assert torch.allclose(fast, small(rows).detach(), atol=1e-6)
    changed = torch.where((rows[:, :, :1] < 0) & (torch.arange(LENGTH) > 1)[:, None], -rows.abs() - 1, rows)
    assert torch.allclose(small(changed), small(rows), atol=1e-5)  # what is padding is seen by nobody


@pytest.mark.parametrize("importance", ["Magnitude", "Gradient"])
def test_the_heads_that_matter_stay(importance: str, tmp_path: Path) -> None:
    whole = attention()
    size = whole.head_dim
    with torch.no_grad():
        whole.in_proj_weight[2 * WIDTH + 2 * size : 2 * WIDTH + 3 * size] *= 20
        whole.out_proj.weight[:, :size] *= 0.01
    small, _ = pruned(tmp_path, Bare(whole).eval(), amount=0.75, importance=importance)
    kept = small.get_submodule("attention").out_proj.weight
    assert torch.equal(kept, whole.out_proj.weight[:, 2 * size : 3 * size])


def test_by_gradient_a_head_that_no_answer_depends_on_goes_however_heavy(tmp_path: Path) -> None:
    network = Bare(attention()).eval()
    with torch.no_grad():
        network.attention.out_proj.weight[:, :4] = 30.0
        network.head.weight -= network.head.weight.mean(dim=1, keepdim=True)  # is blind to what all outputs share
    by_gradient, _ = pruned(tmp_path / "gradient", network, amount=0.75, importance="Gradient")
    by_magnitude, _ = pruned(tmp_path / "magnitude", network, amount=0.75)
    assert float(by_gradient.get_submodule("attention").out_proj.weight.detach().max()) < 30
    assert float(by_magnitude.get_submodule("attention").out_proj.weight.detach().max()) == 30


def test_the_record_and_the_weights_give_the_network_back(tmp_path: Path) -> None:
    network = tokens()
    small, given = pruned(tmp_path, network, amount=0.7, epochs=1, importance="Gradient")
    restored = prune.restore(network=copy.deepcopy(network), state=small.state_dict(), record=given.record)
    rows = torch.randn(4, LENGTH, WIDTH)
    assert torch.equal(restored(rows), small(rows))
    assert given.record["layers"]["encoder.layers.0.self_attn"] == {"heads": 1}


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(LENGTH * WIDTH, 2)),
        Tokens(heads=1),
        Bare(attention(add_zero_attn=True)),
        Bare(attention(add_bias_kv=True)),
    ],
)
def test_without_heads_to_spare_it_is_told(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match="of several heads, used in one place, and the network has none"):
        pruned(tmp_path, network)


@pytest.mark.deep
def test_the_exported_graph_is_smaller_and_answers_alike(tmp_path: Path) -> None:
    network = tokens()
    small, given = pruned(tmp_path, network, amount=0.5)
    sizes = []
    for name, some in (("whole", network), ("small", small)):
        path = tmp_path / f"{name}.onnx"
        architecture = Architecture(network=some, input_name="rows", output_name="answers")
        export.export(architecture=architecture, network=some, data=given.data, options=Export(), to=path)
        sizes.append(path.stat().st_size)
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    rows = given.data.test.rows[:7]
    (answers,) = session.run(None, {"rows": rows})
    with torch.no_grad():
        wanted = small(torch.from_numpy(rows)).softmax(dim=-1).numpy()
    assert numpy.abs(answers - wanted).max() < 1e-5
    saved = given.record["parametersBefore"] - given.record["parametersAfter"]
    assert sizes[0] - sizes[1] > 0.9 * 4 * saved
