import builtins
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from model_builder import checkpoint
from model_builder.data.base import Dataset, Task
from model_builder.decode import decode
from model_builder.errors import BadSpec, OutOfMemory, StorageError
from model_builder.finished import read
from model_builder.passes import objective, tune, tune_search, tune_trials
from model_builder.passes.base import Context
from model_builder.passes.tune_search import Outcome, Space
from model_builder.report import page
from tests.model_builder import told
from tests.model_builder.conftest import TRAIN, run_build, spec
from tests.model_builder.networks import context, dataset

SPACE = Space(
    ranges={"learningRate": (1e-4, 1e-1), "weightDecay": (0.0, 0.1)},
    choices={"batchSize": (16, 32), "schedule": ("Cosine", "Linear")},
    first={"learningRate": 5e-4, "weightDecay": 0.01, "batchSize": 32, "schedule": "Cosine"},
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the pipeline runs a pass."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


def net(*, dropout: float = 0.3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2))


def searched(folder: Path, *, network: nn.Module | None = None, data: Dataset | None = None, **raw: Any) -> Any:
    """The network that a search leaves, and its context."""
    defaults = {"trials": 6, "epochs": 2, "learningRate": [1e-4, 0.3], "batchSize": [16, 32]}
    made = context(folder, data or dataset())
    chosen = decode(tune.Parameters, {**defaults, **raw}, where="tune")
    torch.manual_seed(1)
    return tune.apply(network=network or net(), parameters=chosen, context=made), made


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(torch.equal(tensor, right.state_dict()[name]) for name, tensor in left.state_dict().items())


@pytest.mark.deep
def test_the_best_trial_on_the_validation_split_is_kept(tmp_path: Path) -> None:
    data = dataset()
    data.test.labels[:] = 1 - data.test.labels  # what chose on it would choose the worst
    tuned, made = searched(tmp_path, data=data)
    rows, record = made.record["trials"], made.record
    assert [row["trial"] for row in rows] == list(range(6))
    assert rows[0]["learningRate"] == 0.0005  # that of finetune: a search never ends behind it
    assert len({row["learningRate"] for row in rows}) == 6
    whole = [row["loss"] for row in rows if row["state"] == "Complete"]
    error, loss = objective.error_and_loss(tuned, data=data)
    assert loss == pytest.approx(min(whole), abs=1e-5)
    assert rows[record["best"]]["loss"] == min(whole)
    assert (record["kept"], error < record["before"]["error"]) == ("tuned", True)
    assert not tuned.training and tuned[3].p == 0.3


@pytest.mark.deep
def test_a_search_that_finds_nothing_better_changes_nothing(tmp_path: Path) -> None:
    data, network = dataset(), net()
    data.train.labels[:] = 1 - data.train.labels  # what is learned makes everything worse
    before = net().state_dict()
    with torch.no_grad():
        for state in (network.state_dict(), before):
            state["4.weight"].zero_()
            state["4.bias"].zero_()
    tuned, made = searched(tmp_path, network=network, data=data, trials=3)
    assert made.record["kept"] == "untuned"
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuned.state_dict().items())
    assert "none was better than the network as it was" in made.notes[0]


@pytest.mark.deep
def test_as_good_is_not_better(tmp_path: Path) -> None:
    network = nn.Linear(6, 2)
    with torch.no_grad():
        network.weight.fill_(1e3)  # the rate is too small to change a number of that size
        network.bias.fill_(1e3)
    _, made = searched(tmp_path, network=network, learningRate=[1e-7, 1e-7], trials=1, epochs=1)
    assert made.record["trials"][0]["loss"] == made.record["before"]["loss"]
    assert made.record["kept"] == "untuned"


@pytest.fixture
def pruning(tmp_path: Path) -> dict[str, Any]:
    return {"folder": tmp_path, "trials": 8, "epochs": 4, "learningRate": [1e-5, 0.1]}


@pytest.mark.deep
def test_hopeless_trials_are_ended_and_none_of_them_wins(pruning: dict[str, Any]) -> None:
    _, made = searched(**pruning)
    pruned = [row for row in made.record["trials"] if row["state"] == "Pruned"]
    assert pruned and all(1 < row["epochs"] <= 4 for row in pruned)
    assert made.record["trials"][made.record["best"]]["state"] == "Complete"
    assert f"{len(pruned)} were ended early" in made.notes[0]
    _, whole = searched(**{**pruning, "folder": pruning["folder"] / "off"}, pruner="Off")
    assert {row["state"] for row in whole.record["trials"]} == {"Complete"}


def test_a_diverged_trial_is_told_and_the_search_goes_on(tmp_path: Path) -> None:
    data = dataset()
    data.train.rows[5] = numpy.inf
    network = nn.Linear(6, 2)
    tuned, made = searched(tmp_path, network=network, data=data, trials=2, epochs=1)
    assert [row["state"] for row in made.record["trials"]] == ["Failed", "Failed"]
    assert (made.record["best"], made.record["kept"], tuned) == (None, "untuned", network)


# --- interruptions ---


def kills(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the process after its first write to disk, then after its second, and so on."""
    whole = checkpoint.save
    for allowed in range(1, 200):
        left = allowed

        def save(folder: Path, *, number: int, state: dict[str, Any]) -> None:
            nonlocal left
            whole(folder, number=number, state=state)
            left -= 1
            if left == 0:
                raise Killed

        monkeypatch.setattr(checkpoint, "save", save)
        yield


@pytest.mark.deep
@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_that_is_killed_after_every_write_finds_the_same(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if workers > 1:  # the same rounds, but in this process, where a test can end them anywhere
        monkeypatch.setattr(
            tune_trials.Trials, "_side_by_side", lambda self, waiting: [self._finish(one) for one in waiting]
        )
    raw = {"trials": 5, "epochs": 3, "workers": workers}
    wanted, first = searched(tmp_path / "undisturbed", **raw)
    killed = 0
    for _ in kills(monkeypatch):
        try:
            found, second = searched(tmp_path / "killed", **raw)
            break
        except Killed:
            killed += 1
    assert killed > 5
    assert second.record == first.record
    assert same(found, wanted)


@pytest.mark.deep
def test_trials_side_by_side_find_what_they_find_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, first = searched(tmp_path / "together", trials=4, workers=2)
    monkeypatch.setattr(
        tune_trials.Trials, "_side_by_side", lambda self, waiting: [self._finish(one) for one in reversed(waiting)]
    )
    alone, second = searched(tmp_path / "alone", trials=4, workers=2)
    assert second.record == first.record
    assert same(alone, together)


def test_a_process_that_is_ended_by_the_kernel_is_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    monkeypatch.setattr(tune_trials.Trials, "_finish", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(OutOfMemory, match=r"trial 0 of tune ran out of memory .* lower tune.workers"):
        searched(tmp_path, trials=2, workers=2)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "save", lambda *_, **__: None)
    with pytest.raises(StorageError, match="tune can't keep its trials"):
        searched(tmp_path, trials=1, epochs=1)


# --- the search ---


def outcome(number: int, loss: float, **changes: Any) -> Outcome:
    parameters = {**SPACE.first, "learningRate": 1e-3 * (number + 1)}
    made = Outcome(number=number, parameters=parameters, state="Complete", losses=[2 * loss, loss], training={})
    return dataclasses.replace(made, **changes)


@settings(max_examples=8, deadline=None)
@given(losses=st.lists(st.floats(0.01, 5), min_size=0, max_size=8), count=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_round_follows_from_its_seed_and_the_outcomes_before(losses: list[float], count: int, seed: int) -> None:
    finished = [outcome(number, loss) for number, loss in enumerate(losses)]
    rounds = [tune_search.ask(finished, count=count, space=SPACE, seed=seed, prune=True) for _ in range(2)]
    first, again = ([(c.number, c.parameters) for c in candidates] for candidates in rounds)
    assert first == again
    assert [number for number, _ in first] == list(range(len(losses), len(losses) + count))
    for _, parameters in first:
        assert all(low <= parameters[name] <= high for name, (low, high) in SPACE.ranges.items())
        assert all(parameters[name] in values for name, values in SPACE.choices.items())
    if not losses:
        assert first[0][1] == SPACE.first


def test_later_trials_follow_what_earlier_ones_found() -> None:
    def rates(best: float) -> list[float]:
        chosen = [10 ** (-4 + number * 3 / 19) for number in range(20)]
        finished = [
            outcome(n, abs(float(numpy.log(rate / best))), parameters={**SPACE.first, "learningRate": rate})
            for n, rate in enumerate(chosen)
        ]
        asked = tune_search.ask(finished, count=3, space=SPACE, seed=0, prune=False)
        return [candidate.parameters["learningRate"] for candidate in asked]

    assert max(rates(2e-4)) < min(rates(5e-2))


def test_a_trial_is_hopeless_above_the_median() -> None:
    finished = [outcome(number, loss) for number, loss in enumerate([0.1, 0.2, 0.3])]
    finished.append(outcome(3, 0.01, state="Failed", losses=[]))

    def judged(losses: list[float], *, prune: bool = True) -> list[bool]:
        (candidate,) = tune_search.ask(finished, count=1, space=SPACE, seed=0, prune=prune)
        return [candidate.hopeless(losses[:count]) for count in range(1, len(losses) + 1)]

    assert judged([9.0, 0.21]) == [False, True]  # the first epoch is given to everybody
    assert judged([9.0, 0.19]) == [False, False]
    assert judged([9.0, 9.0], prune=False) == [False, False]


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "optuna":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BadSpec, match="the pass tune needs Optuna: install the extra 'tune'"):
        searched(tmp_path)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"learningRate": [0.1, 0.01]}, r"tune.learningRate is \[0.1, 0.01\]; it must be a lower and an upper limit"),
        ({"dropout": [0.1]}, r"tune.dropout is \[0.1\]; it must be"),
        ({"learningRate": [0.1]}, "entries in tune.learningRate is 1; allowed is 2 to 2"),
        ({"batchSize": [0]}, r"tune.batchSize\[0\] is 0; allowed is 1 to 8192"),
        ({"schedule": ["Cosinus"]}, "did you mean 'Cosine'"),
    ],
)
def test_a_search_that_makes_no_sense_is_told(raw: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match=sentence):
        searched(tmp_path, **raw)


@pytest.mark.deep
def test_dropout_is_searched_where_there_is_some_and_left_as_it_was(tmp_path: Path) -> None:
    tuned, made = searched(tmp_path, dropout=[0.0, 0.5], trials=2, epochs=1)
    first, second = (row["dropout"] for row in made.record["trials"])
    assert first == 0.0 < second <= 0.5
    assert tuned[3].p == 0.3
    with pytest.raises(BadSpec, match="the network has no dropout layer"):
        searched(tmp_path / "none", network=nn.Linear(6, 2), dropout=[0.0, 0.5])


def test_a_regression_is_tuned(tmp_path: Path) -> None:
    data, network = dataset(task=Task.REGRESSION), nn.Linear(6, 1)
    _, made = searched(tmp_path, network=network, data=data, trials=3)
    assert made.record["kept"] == "tuned"


def test_a_report_draws_and_lists_the_trials(tmp_path: Path) -> None:
    trials = [
        {"trial": 0, "state": "Complete", "loss": 0.4, "epochs": 3, "learningRate": 0.001, "schedule": "Cosine"},
        {"trial": 1, "state": "Pruned", "loss": 0.9, "epochs": 2, "learningRate": 0.2, "schedule": "<b>"},
        {"trial": 2, "state": "Failed", "loss": None, "epochs": 0, "learningRate": 9.0, "schedule": "Linear"},
    ]
    step = {"pass": "tune", "parameters": {}, "key": "k", "cached": True, "record": {"kept": "tuned", "trials": trials}}
    found = page.render(read(told.artifact(tmp_path / "a", steps=[step])))
    search = re.search(r"<svg(?:(?!<svg).)*?<title>Search</title>.*?</svg>", found, re.DOTALL)
    assert search is not None and search[0].count("<circle") == 2
    assert "trial 0" in search[0] and "trial 1" not in search[0]
    assert found.count("Pruned") == 1, "in the table alone"
    assert "Trials of tune" in found and "&lt;b&gt;" in found and "kept: tuned" in found
    nothing = {**step, "record": {"trials": trials[2:]}}
    assert "<title>Search" not in page.render(read(told.artifact(tmp_path / "b", steps=[nothing])))


@pytest.mark.deep
def test_a_build_tells_its_search(tmp_path: Path) -> None:
    step = {"pass": "tune", "parameters": {"trials": 2, "epochs": 1}}
    raw = spec(TRAIN, step, gates=[])
    run_build(raw, out=tmp_path / "out")
    record = next(
        entry["record"]
        for entry in json.loads((tmp_path / "out" / "manifest.json").read_text())["steps"]
        if entry["pass"] == "tune"
    )
    assert len(record["trials"]) == 2 and record["best"] in (0, 1)


def test_the_context_of_the_pass_hears_of_every_round(tmp_path: Path) -> None:
    class Heard(tune_trials.SilentReporter):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def step(self, *, done: int, total: int, **figures: float) -> None:
            self.steps.append(done)

    heard = Heard()
    made: Context = context(tmp_path, dataset(), reporter=heard)
    chosen = decode(tune.Parameters, {"trials": 2, "epochs": 1}, where="tune")
    tune.apply(network=net(), parameters=chosen, context=made)
    assert heard.steps == [1, 2]
