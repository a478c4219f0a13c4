"""The gates and audits on a network that was trained on digits: planted mistakes against honest number formats."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from model_builder import audit, evaluation, gates, graph
from model_builder.architectures import digits_cnn
from model_builder.audit.base import Subject, subject_of
from model_builder.data.base import Dataset, Split, Task
from model_builder.evaluation import classification
from model_builder.gates import Outcome
from model_builder.metrics import Metric
from model_builder.progress import SilentReporter

pytestmark = pytest.mark.deep
CLASSES = tuple("0123456789")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    bunch = load_digits()
    rows, labels = bunch.images.astype("float32"), bunch.target.astype("int64")
    rest, test, rest_labels, test_labels = train_test_split(
        rows, labels, test_size=270, random_state=1, stratify=labels
    )
    return Dataset(
        name="digits",
        digest="sha256:0",
        task=Task.CLASSIFICATION,
        classes=CLASSES,
        train=Split(rest, rest_labels),
        validation=Split(rest[:0], rest_labels[:0]),
        test=Split(test, test_labels),
        extremes=rows[:1],
    )


@pytest.fixture(scope="module")
def network(digits: Dataset) -> nn.Module:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = digits_cnn.make().network
    rows, labels = torch.from_numpy(digits.train.rows), torch.from_numpy(digits.train.labels)
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.002)
    steps = 10 * -(-len(rows) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.004, total_steps=steps)
    for _ in range(10):
        for batch in torch.split(torch.randperm(len(rows)), 32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(made(rows[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return made.eval()


@pytest.fixture(scope="module")
def exported(network: nn.Module, digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits") / "float.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            nn.Sequential(network, nn.Softmax(dim=-1)).eval(),
            (torch.from_numpy(digits.train.rows[:2]),),
            path,
            input_names=["image"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=20,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return path


def quantized(source: Path, *, calibration: NDArray[Any]) -> Path:
    from onnxruntime import quantization as ort

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = iter([{"image": calibration[i : i + 1]} for i in range(len(calibration))])

        def get_next(self) -> Any:
            return next(self.rows, None)

    path = source.with_name(f"int8-{calibration.any()}.onnx")
    ort.quantize_static(
        str(source),
        str(path),
        Reader(),
        per_channel=True,
        activation_type=ort.QuantType.QInt8,
        op_types_to_quantize=["Conv", "Gemm", "MatMul", "MaxPool", "Relu"],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )
    return path


Answers = Callable[[NDArray[Any]], NDArray[Any]]


def verdicts(final: Answers, source: Answers, data: Dataset) -> dict[str, Outcome]:
    """What the default gates say of a model, against its source."""
    test = data.test
    found: dict[str, Metric] = {}
    both = {"": final(test.rows), ".source": source(test.rows)}
    for suffix, probabilities in both.items():
        scores = classification.score(probabilities=probabilities, labels=test.labels, classes=CLASSES)
        found |= {name + suffix: metric for name, metric in scores.metrics.items()}
    found |= evaluation.against_source(both[""], both[".source"], labels=test.labels, task=data.task)
    return {v.gate.metric: v.outcome for v in gates.judge(gates.DEFAULTS["Classification"], metrics=found)}


def of_graph(path: Path) -> Answers:
    session = graph.open_session(path)
    return lambda rows: graph.predict(session, rows)


def of_network(network: nn.Module) -> Answers:
    def answer(rows: NDArray[Any]) -> NDArray[Any]:
        with torch.inference_mode():
            found: NDArray[Any] = (
                network(torch.from_numpy(rows).to(next(network.parameters()).dtype)).float().softmax(-1).numpy()
            )
        return found

    return answer


def test_honest_formats_pass_the_default_gates(network: nn.Module, exported: Path, digits: Dataset) -> None:
    import copy

    source = of_graph(exported)
    calibration = digits.train.rows[:256]
    honest = {
        "fp32": of_network(network),
        "fp16": of_network(copy.deepcopy(network).half()),
        "int8": of_graph(quantized(exported, calibration=calibration)),
    }
    for name, final in honest.items():
        assert set(verdicts(final, source, digits).values()) == {Outcome.PASS}, name


def test_planted_mistakes_do_not_pass_the_default_gates(network: nn.Module, exported: Path, digits: Dataset) -> None:
    import copy

    from torch.nn.utils import prune

    source = of_graph(exported)
    pruned = copy.deepcopy(network)
    layers = [(m, "weight") for m in pruned.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=0.95)
    planted = {
        "95 % pruned": of_network(pruned),
        "blank calibration": of_graph(quantized(exported, calibration=numpy.zeros_like(digits.train.rows[:64]))),
        "unscaled": lambda rows: source(rows * 16),
        "transposed": lambda rows: source(numpy.ascontiguousarray(rows.transpose(0, 2, 1))),
    }
    for name, final in planted.items():
        assert verdicts(final, source, digits)["accuracy"] is not Outcome.PASS, name


@pytest.fixture(scope="module")
def subject(network: nn.Module, exported: Path, digits: Dataset) -> Subject:
    return subject_of(network=network, model=exported, data=digits, seed=0, reporter=SilentReporter())


@pytest.mark.parametrize("name", audit.REGISTRY)
def test_the_audits_pass_an_honest_network_and_find_the_same_again(name: str, subject: Subject) -> None:
    entry = audit.REGISTRY[name]
    first, second = (audit.run(entry, subject=subject, parameters=entry.parameters()) for _ in range(2))
    judged = gates.judge(audit.standing_gates(entry, first), metrics=first.metrics)
    assert [verdict.message for verdict in judged if verdict.outcome is not Outcome.PASS] == []
    if name != "energy":
        assert first.metrics == second.metrics
        assert first.tables == second.tables


def test_attacks_come_near_the_known_numbers(subject: Subject) -> None:
    """FGSM at 0.05, 0.1 and 0.2 of the range is known to leave about 93, 75 and 12 %, PGD about 93, 70 and 4 %."""
    entry = audit.REGISTRY["robustness"]
    curve = audit.run(entry, subject=subject, parameters=entry.parameters()).tables["curve"]
    assert [row["fgsm"] for row in curve] == pytest.approx([0.93, 0.75, 0.12], abs=0.12)
    assert [row["pgd"] for row in curve] == pytest.approx([0.93, 0.70, 0.04], abs=0.12)
    assert all(row["pgd"] <= row["fgsm"] + 0.01 for row in curve)
