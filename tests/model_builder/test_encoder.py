import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings, strategies

from model_builder import graph
from model_builder.architectures import REGISTRY, make
from model_builder.architectures.base import Architecture, Ends
from model_builder.audit import attention
from model_builder.data.base import IGNORED_LABEL, Dataset, Split, Task
from model_builder.data.text import NUMBER_OF_PADDING, NUMBER_OF_UNKNOWN
from model_builder.errors import BadSpec
from model_builder.export import export
from model_builder.passes import students
from model_builder.spec import Export
from tests.model_builder.networks import dataset

SIZE = {"width": 16, "heads": 4, "layers": 2, "hidden": 32}
WORDS = Ends(vocabulary=20, outputs=3, per_token=False)
TOKENS = dataclasses.replace(WORDS, per_token=True)


def encoder(ends: Ends = WORDS, **changes: Any) -> Architecture:
    torch.manual_seed(0)
    made = make("text-encoder", parameters=SIZE | changes, ends=lambda: ends)
    made.network.eval()
    return made


@functools.cache
def network(ends: Ends) -> torch.nn.Module:
    return encoder(ends).network


def answers(ends: Ends, rows: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return network(ends)(torch.tensor(rows))  # type: ignore[no-any-return]


def texts(*, per_token: bool) -> Dataset:
    """Numbers of words; which class a word means is the rest of its number by three."""
    chance = numpy.random.default_rng(0)

    def split(rows: int) -> Split:
        made = chance.integers(2, 20, (rows, 6))
        made[numpy.arange(6) >= chance.integers(1, 7, rows)[:, None]] = NUMBER_OF_PADDING
        labels = numpy.where(made == NUMBER_OF_PADDING, IGNORED_LABEL, made % 3)
        return Split(rows=made, labels=labels if per_token else labels[:, 0])

    return Dataset(
        name="words",
        digest="0",
        task=Task.TOKEN_CLASSIFICATION if per_token else Task.CLASSIFICATION,
        classes=("a", "b", "c"),
        train=split(60),
        validation=split(30),
        test=split(30),
        extremes=numpy.zeros((1, 6), dtype="int64"),
        vocabulary=tuple(str(number) for number in range(20)),
    )


@pytest.mark.parametrize(("ends", "shape"), [(WORDS, (2, 3)), (TOKENS, (2, 4, 3))])
def test_one_answer_per_row_or_per_token(ends: Ends, shape: tuple[int, ...]) -> None:
    assert answers(ends, [[5, 6, 7, 0], [0, 0, 0, 0]]).shape == shape


@settings(max_examples=25)
@given(strategies.lists(strategies.integers(2, 19), min_size=1, max_size=6), strategies.integers(1, 5))
def test_padding_changes_no_answer(row: list[int], padding: int) -> None:
    padded = row + [NUMBER_OF_PADDING] * padding
    torch.testing.assert_close(answers(WORDS, [padded]), answers(WORDS, [row]), atol=1e-5, rtol=0)
    torch.testing.assert_close(answers(TOKENS, [padded])[:, : len(row)], answers(TOKENS, [row]), atol=1e-5, rtol=0)


def test_the_order_of_words_matters() -> None:
    first, second = answers(WORDS, [[5, 6, 7], [7, 6, 5]])
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize("number", [20, -1, 2**60])
def test_a_number_that_no_word_has_is_an_unknown_word(number: int) -> None:
    assert torch.equal(answers(WORDS, [[5, number]]), answers(WORDS, [[5, NUMBER_OF_UNKNOWN]]))


def test_a_row_of_padding_alone_has_a_finite_answer() -> None:
    assert answers(TOKENS, [[0, 0, 0]]).isfinite().all()


@pytest.mark.deep
def test_it_is_exported_for_any_number_of_rows(tmp_path: Path) -> None:
    data = texts(per_token=True)
    made = encoder(Ends.of(data))
    path = tmp_path / "model.onnx"
    export(architecture=made, network=made.network, data=data, options=Export(), to=path)
    inputs, _, batchable = graph.interface(path)
    assert batchable
    assert (inputs[0].name, inputs[0].datatype, tuple(inputs[0].shape)[-1:]) == ("tokens", "INT64", (6,))
    rows = data.test.rows.copy()
    rows[0] = NUMBER_OF_PADDING
    session = graph.open_session(path)
    with torch.no_grad():
        expected = made.network(torch.from_numpy(rows)).softmax(dim=-1).numpy()
    for count in (1, 3, len(rows)):
        assert numpy.abs(graph.predict(session, rows[:count]) - expected[:count]).max() < 1e-5


def test_its_attention_can_be_followed() -> None:
    with attention.recorded(network(WORDS)) as layers, torch.inference_mode():
        network(WORDS)(torch.tensor([[5, 6, 7, 0, 0]]))
    flow = attention.rollout(layers)
    assert len(layers) == SIZE["layers"]
    assert flow[0, :3, 3:].max() == 0, "padding gives nothing to words"
    assert flow.sum(axis=-1) == pytest.approx(numpy.ones((1, 5)), abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 30}, r"parameters.width is 30; it must be even and a multiple of heads \(4\)"),
        ({"heads": 0}, r"parameters.heads is 0; allowed is 1 to 128"),
        ({"depth": 2}, r"unknown key 'depth'"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSpec, match=message):
        encoder(**change)


def test_what_the_data_ask_for() -> None:
    assert Ends.of(texts(per_token=True)) == Ends(vocabulary=20, outputs=3, per_token=True)
    assert not Ends.of(texts(per_token=False)).per_token
    unnamed = dataclasses.replace(texts(per_token=True), vocabulary=())
    assert Ends.of(unnamed).vocabulary == unnamed.train.rows.max() + 1
    with pytest.raises(BadSpec, match=r"'made-up' are float32 of shape \(6,\): give data of the format JsonLines"):
        Ends.of(dataset())


def test_the_seed_decides_the_weights() -> None:
    first, second = encoder().network.state_dict(), encoder().network.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("per_token", [False, True])
def test_a_student_follows_the_data_as_its_teacher_does(per_token: bool) -> None:
    data = texts(per_token=per_token)
    teacher = network(Ends.of(data))
    shape = students.plan("text-encoder", teacher=teacher, width=1.0, hidden=1, data=data)
    student = students.make(json.loads(json.dumps(shape)), teacher=teacher, mean=None, scale=None)
    rows = torch.from_numpy(data.test.rows)
    assert student(rows).shape == teacher(rows).shape


def test_every_network_of_one_size_needs_nothing() -> None:
    plain: Callable[..., Architecture] = REGISTRY["digits-cnn"]
    assert plain().input_name == "image"
