"""Fine-tuning by low-rank adapters, and in mixed precision."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies
from torch import nn

from model_builder.data.base import Dataset
from model_builder.decode import decode
from model_builder.errors import BadSpec
from model_builder.passes import finetune, lora, objective, precision
from model_builder.progress import SilentReporter
from tests.model_builder.networks import context, dataset

EVERY_MATRIX = {"attention.in_proj_weight", "attention.out_proj.weight", "forward_.weight"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As in a build; rows this small only wait for a second one."""
    torch.set_num_threads(1)


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class KillAfter(SilentReporter):
    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def step(self, *, done: int, total: int, **figures: float) -> None:
        if done == self._epochs:
            raise Killed


class Small(nn.Module):
    """Attention over the six numbers of a row, a norm with running means, a matrix and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Embedding(6, 12)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.norm = nn.BatchNorm1d(12)
        self.forward_ = nn.Linear(12, 16)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(16, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        tokens = rows.unsqueeze(-1) * self.places.weight
        seen, _ = self.attention(tokens, tokens, tokens)
        logits: torch.Tensor = self.head(torch.relu(self.forward_(self.dropout(self.norm(seen.mean(dim=1))))))
        return logits


def network() -> Small:
    torch.manual_seed(0)
    return Small()


def tuned(folder: Path, network: nn.Module, *, data: Dataset | None = None, kill: int = -1, **raw: Any) -> Any:
    made = context(folder, data or dataset(), reporter=KillAfter(kill))
    defaults = {"epochs": 2, "batchSize": 16, "learningRate": 0.02, "patience": 0}
    torch.manual_seed(1)
    finetune.apply(
        network=network, parameters=decode(finetune.Parameters, defaults | raw, where="finetune"), context=made
    )
    return made


def disturb(network: nn.Module) -> None:
    """Give every adapter something to say."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith(".0.b"):
                weight.normal_()


@settings(max_examples=8, deadline=None)
@given(rank=strategies.integers(1, 11), alpha=strategies.floats(0.1, 64), dropout=strategies.sampled_from([0.0, 0.5]))
def test_what_adapters_say_is_in_the_weights_afterwards(rank: int, alpha: float, dropout: float) -> None:
    whole, rows = network().eval(), torch.from_numpy(dataset().test.rows)
    before = copy.deepcopy(whole.state_dict())
    with torch.no_grad():
        original = whole(rows)
        with lora.adapted(whole, rank=rank, alpha=alpha, dropout=dropout):
            torch.testing.assert_close(whole(rows), original, atol=1e-6, rtol=0)
            disturb(whole)
            adapted = whole(rows)
        merged = whole(rows)
    assert (adapted - original).abs().max() > 1e-4
    torch.testing.assert_close(merged, adapted, atol=1e-5, rtol=1e-5)
    after = whole.state_dict()
    assert after.keys() == before.keys()
    assert {name for name in after if not torch.equal(after[name], before[name])} == EVERY_MATRIX
    assert all(weight.requires_grad for weight in whole.parameters())


def test_an_adapter_counts_alpha_by_rank() -> None:
    linear = nn.Linear(8, 8, bias=False)
    both = nn.Sequential(linear, nn.Linear(8, 2))
    before = linear.weight.detach().clone()
    with lora.adapted(both, rank=2, alpha=6.0, dropout=0.0):
        disturb(both)
        adapter: Any = linear.parametrizations.weight[0]  # type: ignore[union-attr, index]
        expected = before + 3 * adapter.b.detach() @ adapter.a.detach()
    torch.testing.assert_close(linear.weight.detach(), expected)


def test_only_adapters_and_the_head_learn() -> None:
    whole = network().train()
    frozen = {name: weight.detach().clone() for name, weight in whole.named_parameters()}
    with lora.adapted(whole, rank=2, alpha=4.0, dropout=0.0) as told:
        optimizer = torch.optim.SGD(whole.parameters(), lr=0.1)
        for _ in range(2):
            whole(torch.randn(8, 6)).square().sum().backward()
            optimizer.step()
        now = dict(whole.named_parameters())
        # In an adapted module the original matrix stands under another name.
        kept = {name.replace("parametrizations.", "").replace(".original", ""): value for name, value in now.items()}
        moved = {name for name, value in frozen.items() if not torch.equal(kept[name], value)}
        learning = sum(weight.numel() for weight in whole.parameters() if weight.requires_grad)
    assert moved == {"head.weight", "head.bias"}
    assert told.matrices == len(EVERY_MATRIX)
    assert learning == told.trainable == 2 * (36 + 12) + 2 * (12 + 12) + 2 * (16 + 12) + 2 * 16 + 2
    assert told.trainable < told.total == sum(value.numel() for value in frozen.values())


def test_a_weight_that_layers_share_has_no_adapter() -> None:
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    with lora.adapted(nn.Sequential(first, second, nn.Linear(8, 6), nn.Linear(6, 2)), rank=2, alpha=1, dropout=0) as it:
        assert it.matrices == 1


def test_an_adapter_sees_other_inputs_in_every_step_of_the_training_only() -> None:
    both = nn.Sequential(nn.Linear(32, 8), nn.Linear(8, 2))
    with lora.adapted(both, rank=2, alpha=4.0, dropout=0.5):
        disturb(both)
        rows = torch.randn(3, 32)
        first, second = both.train()(rows), both(rows)
        assert not torch.equal(first, second)
        assert torch.equal(both.eval()(rows), both(rows))


@pytest.mark.deep
def test_finetune_learns_by_adapters(tmp_path: Path) -> None:
    whole = network()
    before = copy.deepcopy(whole.state_dict())
    made = tuned(tmp_path, whole, loraRank=4, epochs=8)
    error, _ = objective.error_and_loss(whole, data=made.data)
    assert error < 0.15
    after = whole.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == EVERY_MATRIX | {"head.weight", "head.bias"}, "running means are frozen as well"
    assert made.record["lora"]["trainable"] < made.record["lora"]["total"]
    assert not whole.training


@pytest.mark.deep
@pytest.mark.parametrize("raw", [{"loraRank": 2, "loraDropout": 0.3}, {"precision": "Bf16"}])
def test_a_killed_training_goes_on_to_the_same_weights(raw: dict[str, Any], tmp_path: Path) -> None:
    undisturbed, resumed = network(), network()
    tuned(tmp_path / "undisturbed", undisturbed, epochs=3, **raw)
    with pytest.raises(Killed):
        tuned(tmp_path / "killed", network(), epochs=3, kill=2, **raw)
    made = tuned(tmp_path / "killed", resumed, epochs=3, **raw)
    assert any("went on after epoch 2" in note for note in made.notes)
    pairs = zip(undisturbed.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"loraRank": 12}, r"loraRank is 12, but no linear layer or attention before the last layer has more inputs"),
        ({"loraRank": 2, "freeze": "FirstHalf"}, r"loraRank freezes .* by itself: leave finetune.freeze out"),
        ({"loraAlpha": 8}, r"have no effect without adapters: set finetune.loraRank"),
        ({"precision": "Fp16"}, r"precision is 'Fp16'; known: Bf16, Fp32"),
    ],
)
def test_what_excludes_each_other_is_refused(raw: dict[str, Any], message: str, tmp_path: Path) -> None:
    whole = network()
    with pytest.raises(BadSpec, match=message):
        tuned(tmp_path, whole, **raw)
    assert all(weight.requires_grad for weight in whole.parameters())


# --- mixed precision ---


def test_matrices_multiply_in_bf16_and_the_loss_is_in_fp32(tmp_path: Path) -> None:
    seen: dict[str, torch.dtype] = {}
    whole, data = network(), dataset()
    whole.forward_.register_forward_hook(lambda _, __, answer: seen.update(product=answer.dtype))

    def told(network: nn.Module, rows: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        answer: torch.Tensor = network(torch.from_numpy(data.train.rows)[rows])
        seen.update(answer=answer.dtype)
        return answer.sum()

    asked = objective.Objective(rows=4, loss=told, weight=lambda _: 1.0, constant_loss=1.0)
    assert precision.at("Fp32", objective=asked) is asked
    precision.at("Bf16", objective=asked).loss(whole, torch.arange(4), torch.Generator()).backward()  # type: ignore[no-untyped-call]
    assert seen == {"product": torch.bfloat16, "answer": torch.float32}
    assert {weight.grad.dtype for weight in whole.parameters() if weight.grad is not None} == {torch.float32}


@pytest.mark.deep
def test_finetune_learns_in_mixed_precision(tmp_path: Path) -> None:
    whole = network()
    made = tuned(tmp_path, whole, precision="Bf16", epochs=5)
    assert objective.error_and_loss(whole, data=made.data)[0] < 0.15
    assert {weight.dtype for weight in whole.parameters()} == {torch.float32}


def test_mixed_precision_changes_the_last_bits_and_leaves_nothing_to_chance(tmp_path: Path) -> None:
    mixed, again, plain = network(), network(), network()
    for folder, whole, raw in (("mixed", mixed, "Bf16"), ("again", again, "Bf16"), ("plain", plain, "Fp32")):
        tuned(tmp_path / folder, whole, precision=raw, epochs=1, data=dataset(rows=16))
    assert torch.equal(mixed.forward_.weight, again.forward_.weight)
    assert not torch.equal(mixed.forward_.weight, plain.forward_.weight)
