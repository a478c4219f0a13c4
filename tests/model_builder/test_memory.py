"""Large models are in memory once: sessions are shared where the bytes are, and closed before others are opened."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy
import pytest

from model_builder import checks, evaluation, graph, graph_file
from model_builder.data.base import Split, Task
from model_builder.evaluation import speed
from model_builder.meter import give_back, measured
from model_builder.metrics import SOURCE_SUFFIX, STABLE_SUFFIX
from tests.model_builder.test_external_data import product
from tests.model_builder.test_pass_quantize import dataset, layered


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """All sessions that were opened, as long as somebody has them."""
    references, plain = list[weakref.ref[Any]](), graph.open_session

    def open_session(path: Path) -> Any:
        session = plain(path)
        references.append(weakref.ref(session))
        return session

    monkeypatch.setattr(graph, "open_session", open_session)
    return references


def alive(opened: list[weakref.ref[Any]]) -> int:
    gc.collect()
    return sum(reference() is not None for reference in opened)


@pytest.mark.deep
def test_no_model_is_open_while_another_process_opens_one(
    tmp_path: Path, opened: list[weakref.ref[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = numpy.eye(4)
    final, source = (layered(tmp_path / f"{name}.onnx", [weights * scale]) for name, scale in (("f", 1), ("s", 2)))
    together, timed = list[int](), speed.times

    def loading(model: Path, rows: Any) -> dict[str, float]:
        del model, rows
        together.append(alive(opened))
        return {"sizeBytes": 1.0, "coldLoadMs": 1.0, "peakMemoryBytes": 1.0}

    def times(sessions: Any, rows: Any) -> Any:
        together.append(alive(opened))
        return timed(sessions, rows)

    monkeypatch.setattr(speed, "loading", loading)
    monkeypatch.setattr(speed, "times", times)
    rows = numpy.abs(numpy.random.default_rng(0).random((40, 4), dtype="float32"))
    evaluation.evaluate(
        models={"": final, SOURCE_SUFFIX: source, STABLE_SUFFIX: final},
        test=Split(rows=rows, labels=rows.argmax(1)),
        task=Task.CLASSIFICATION,
        classes=[str(number) for number in range(4)],
    )
    assert together == [2, 0, 0, 0]  # two for three models, of which two are the same, and then none


@pytest.mark.deep
def test_checks_open_one_model_at_a_time(
    tmp_path: Path, opened: list[weakref.ref[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    most, plain = list[int](), graph.open_session

    def open_session(path: Path) -> Any:
        session = plain(path)
        most.append(alive(opened))
        return session

    monkeypatch.setattr(graph, "open_session", open_session)
    model = layered(tmp_path / "m.onnx", [numpy.eye(4)])
    rows = numpy.random.default_rng(0).random((40, 4))
    found = checks.run(
        parity=checks.SAME, exported=model, final=model, data=dataset(rows, rows.argmax(1)), tolerance=1e-3
    )
    assert all(check.passed for check in found)
    assert most == [1, 1, 1]


@pytest.mark.deep
@pytest.mark.parametrize("threshold", [1, 2**30])
def test_a_large_graph_is_copied_weight_by_weight(
    tmp_path: Path, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_file, "DATA_FILE_FROM", 1)
    graph_file.write(product(*[1024] * 16), folder=tmp_path, to=tmp_path / "model.onnx")
    monkeypatch.setattr(graph_file, "DATA_FILE_FROM", threshold)
    give_back()
    with measured() as before:
        pass
    with measured() as usage:
        graph.clean(tmp_path / "model.onnx", to=tmp_path / "copy.onnx")
    assert sum(file.stat().st_size for file in graph_file.files(tmp_path / "copy.onnx")) >= 64 * 2**20
    assert before.peak_bytes is not None
    assert usage.peak_bytes is not None
    assert usage.peak_bytes - before.peak_bytes < 32 * 2**20
