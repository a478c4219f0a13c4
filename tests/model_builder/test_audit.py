"""Each audit with a planted case that its own gates must fail, and a clean one that they must pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from model_builder import audit
from model_builder.audit import attention, corruptions, energy, explain, gradients, personal
from model_builder.audit.base import AuditResult, Subject
from model_builder.audit.fairness import Parameters as Fairness
from model_builder.data.base import Dataset, Split, Task
from model_builder.gates import Outcome, judge

Array = NDArray[Any]


def dataset(
    rows: Array,
    labels: Array,
    *,
    columns: tuple[str, ...] = (),
    groups: Array | None = None,
    train: int = 400,
    task: Task = Task.CLASSIFICATION,
    texts: tuple[str, ...] = (),
) -> Dataset:
    def split(part: slice) -> Split:
        return Split(rows[part], labels[part], {} if groups is None else {"sex": groups[part]})

    return Dataset(
        name="made",
        digest="sha256:0",
        task=task,
        classes=() if task is Task.REGRESSION else ("no", "yes"),
        train=split(slice(0, train)),
        validation=split(slice(train, train)),
        test=split(slice(train, None)),
        extremes=rows[:1],
        columns=columns,
        texts=texts,
    )


def table(seed: int = 0, *, rows: int = 800) -> tuple[Array, Array, Array]:
    """Two features that decide the label, a sensitive third one, and its value as a group."""
    random = numpy.random.default_rng(seed)
    values = random.normal(size=(rows, 3)).astype("float32")
    values[:, 2] = random.integers(0, 2, rows)
    labels = (values[:, 0] + 0.5 * values[:, 1] > 0).astype("int64")
    return values, labels, numpy.where(values[:, 2] > 0, "f", "m")


def answers(yes: Array) -> Array:
    """Probabilities of a model that is sure of itself."""
    chance = numpy.where(yes, 0.9, 0.1)
    return numpy.stack([1 - chance, chance], axis=1)


def honest(rows: Array) -> Array:
    return answers(rows[:, 0] + 0.5 * rows[:, 1] > 0)


def biased(rows: Array) -> Array:
    """Asks much more of one group."""
    return answers(rows[:, 0] + 0.5 * rows[:, 1] > numpy.where(rows[:, 2] > 0, 1.2, 0.0))


def subject(
    predict: Callable[[Array], Array], data: Dataset, *, network: nn.Module | None = None, texts: tuple[str, ...] = ()
) -> Subject:
    return Subject(predict=predict, network=network, data=data, texts=texts)


def people(**changes: Any) -> Dataset:
    rows, labels, groups = table()
    return dataset(rows, labels, columns=("income", "age", "sex"), groups=groups, **changes)


def run(name: str, about: Subject, parameters: Any = None) -> AuditResult:
    entry = audit.REGISTRY[name]
    return audit.run(entry, subject=about, parameters=parameters or entry.parameters())


def failed(name: str, result: AuditResult) -> set[str]:
    """Metrics whose own gate fails."""
    verdicts = judge(audit.standing_gates(audit.REGISTRY[name], result), metrics=result.metrics)
    return {verdict.gate.metric for verdict in verdicts if verdict.outcome is Outcome.FAIL}


# --- fairness ---


def test_planted_bias_by_group_is_found() -> None:
    result = run("fairness", subject(biased, people()))
    assert failed("fairness", result) == {"demographicParityGap", "equalisedOddsGap", "groupAccuracyGap"}
    assert result.metrics["groupAccuracy:sex=m"].value == 1.0
    assert result.metrics["worstGroupAccuracy"].value == result.metrics["groupAccuracy:sex=f"].value < 0.8


def test_a_fair_model_passes() -> None:
    result = run("fairness", subject(honest, people()))
    assert failed("fairness", result) == set()
    assert result.metrics["groupAccuracyGap:sex"].value == 0.0
    assert {row["group"] for row in result.tables["groups"]["sex"]} == {"f", "m"}


def test_gaps_by_hand() -> None:
    """Of 4 women 3 get a yes, of 4 men 1; of the women with label yes 2 of 2, of the men 1 of 2."""
    labels = numpy.array([1, 1, 0, 0, 1, 1, 0, 0])
    yes = numpy.array([1, 1, 1, 0, 1, 0, 0, 0])
    data = dataset(yes[:, None].astype("float32"), labels, groups=numpy.array(list("ffffmmmm")), train=0)
    found = run("fairness", subject(lambda rows: answers(rows[:, 0] > 0), data), Fairness(smallest_group=1)).metrics
    assert found["demographicParityGap"].value == 0.5
    assert found["equalisedOddsGap"].value == 0.5
    assert found["groupAccuracyGap"].value == 0.0
    assert found["demographicParityGap"].lower == 0.0


def test_a_small_group_is_named_and_not_judged() -> None:
    rows, labels, groups = table()
    groups = groups.astype("<U5")
    groups[-3:] = "other"
    result = run("fairness", subject(honest, dataset(rows, labels, groups=groups)))
    assert "the group sex=other has only 3 test rows" in result.messages[0]
    assert "groupAccuracy:sex=other" not in result.metrics


@pytest.mark.parametrize("name", ["fairness", "counterfactual"])
def test_without_a_sensitive_column_nothing_is_claimed(name: str) -> None:
    rows, labels, _ = table()
    result = run(name, subject(honest, dataset(rows, labels)))
    assert result.metrics == {}
    assert "was not run" in result.messages[0]


def test_alike_rows_with_different_answers_are_found() -> None:
    def by_the_last_digit(rows: Array) -> Array:
        return answers((rows[:, 0] * 1000).astype(int) % 2 == 0)

    assert failed("individualFairness", run("individualFairness", subject(by_the_last_digit, people()))) == {
        "consistency"
    }
    result = run("individualFairness", subject(honest, people()))
    assert failed("individualFairness", result) == set()
    assert result.metrics["consistency"].value > 0.85


def test_an_answer_that_hangs_on_the_sensitive_field_is_found() -> None:
    result = run("counterfactual", subject(biased, people()))
    assert failed("counterfactual", result) == {"counterfactualFlips"}
    assert 0.2 < result.metrics["counterfactualFlips:sex"].value < 0.5
    assert run("counterfactual", subject(honest, people())).metrics["counterfactualFlips"].value == 0.0


# --- robustness ---


class Smooth(nn.Module):
    """Logits of the honest model."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        score = rows[:, 0] + 0.5 * rows[:, 1]
        return torch.stack([-score, score], dim=1)


class Stepped(Smooth):
    """The same answers from rounded rows: no gradient anywhere."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.round(rows * 50) / 50)


class Wavy(Smooth):
    """The same answers with small, steep waves on top: gradients that point anywhere."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return super().forward(rows + 0.02 * torch.sin(rows * 800))


def predictor(network: nn.Module) -> Callable[[Array], Array]:
    def predict(rows: Array) -> Array:
        with torch.inference_mode():
            chances: Array = network(torch.from_numpy(rows)).softmax(dim=-1).numpy()
        return chances

    return predict


@pytest.mark.parametrize(
    ("network", "signs"),
    [
        (Stepped(), {"have no gradient", "only", "withstand"}),
        (Wavy(), {"only", "withstand"}),
    ],
    ids=["stepped", "wavy"],
)
def test_hidden_gradients_are_found(network: nn.Module, signs: set[str]) -> None:
    result = run("robustness", subject(predictor(network), people(), network=network))
    assert "gradientMaskingSigns" in failed("robustness", result)
    told = {"have no gradient", "only", "withstand"}
    assert {sign for sign in told if any(sign in message for message in result.messages)} == signs
    assert result.metrics["gradientMaskingSigns"].value == len(result.messages)


def test_an_honest_model_shows_no_signs_and_falls_to_stronger_attacks() -> None:
    network = Smooth()
    result = run("robustness", subject(predictor(network), people(), network=network))
    assert failed("robustness", result) == set()
    assert result.messages == ()
    curve = result.tables["curve"]
    assert [row["fgsm"] for row in curve] == sorted((row["fgsm"] for row in curve), reverse=True)
    # The model is linear: one step is the best attack, and ten come to the same place.
    assert all(row["pgd"] == row["fgsm"] < row["noise"] < 1 for row in curve)
    assert {row["corruption"] for row in result.tables["corruptions"]} == {"noise", "lost", "brightness", "contrast"}


def test_a_model_that_any_noise_upsets_fails() -> None:
    def upset(rows: Array) -> Array:
        known = numpy.isin(rows[:, 0], people().test.rows[:, 0])
        return answers(known == (rows[:, 0] + 0.5 * rows[:, 1] > 0))

    assert failed("robustness", run("robustness", subject(upset, people()))) == {"corruptionAccuracy"}


def test_attacks_stay_within_their_share_and_the_range() -> None:
    data = people()
    rows, labels = data.test.rows, data.test.labels
    low, high = gradients.limits(data.train.rows)
    for attack in (gradients.fgsm, gradients.pgd):
        moved = attack(Smooth(), rows, labels, share=0.1, low=low, high=high)
        assert (numpy.abs(moved - numpy.clip(rows, low, high)) <= 0.1 * (high - low) + 1e-5).all()
        assert (moved >= low).all() and (moved <= high).all()
    by_hand = numpy.sign(numpy.where(labels[:, None] == 1, -1.0, 1.0) * numpy.array([1.0, 0.5, 0.0]))
    assert (numpy.sign(gradients.of_loss(Smooth(), rows, labels)) == by_hand).all()


def test_corruptions_keep_type_and_range_and_follow_their_severity() -> None:
    images = numpy.random.default_rng(0).uniform(0, 16, (20, 8, 8)).astype("float32")
    low, high = gradients.limits(images)
    assert "shift" in corruptions.names_for(images) and "shift" not in corruptions.names_for(images[0])
    for name in corruptions.names_for(images):
        moved = [
            corruptions.corrupt(images, name=name, severity=s, low=low, high=high, random=numpy.random.default_rng(1))
            for s in corruptions.SEVERITIES
        ]
        distances = [float(numpy.abs(m - images).mean()) for m in moved]
        assert distances == sorted(distances) and distances[0] > 0
        assert all(m.dtype == images.dtype and m.min() >= low and m.max() <= high for m in moved)
    shifted = corruptions.corrupt(
        images, name="shift", severity=3, low=low, high=high, random=numpy.random.default_rng()
    )
    assert (shifted[..., 1:] == images[..., :-1]).all()


# --- privacy ---


def test_a_model_that_knows_its_training_rows_by_heart_is_found() -> None:
    rows, labels, _ = table()
    noise = numpy.random.default_rng(1).integers(0, 2, len(labels))
    data = dataset(rows, noise.astype("int64"))
    known = {row.tobytes(): label for row, label in zip(data.train.rows, data.train.labels, strict=True)}

    def by_heart(asked: Array) -> Array:
        guess = asked[:, 0] > 0
        return answers(
            numpy.array([known.get(row.tobytes(), g) for row, g in zip(asked, guess, strict=True)], dtype=bool)
        )

    result = run("privacy", subject(by_heart, data))
    assert failed("privacy", result) == {"membershipAdvantage"}
    assert result.metrics["membershipAdvantage"].value == pytest.approx(0.5, abs=0.12)
    clean = run("privacy", subject(honest, data))
    assert failed("privacy", clean) == set()
    assert abs(clean.metrics["membershipAdvantage"].value) < 0.2


def test_the_advantage_is_measured_on_rows_that_did_not_choose_the_threshold() -> None:
    """On its own rows the best threshold is never worse than chance; on others it is, about every second time."""
    rows, labels, _ = table()
    data = dataset(rows, numpy.random.default_rng(1).permutation(labels))
    found = [
        run("privacy", Subject(predict=honest, network=None, data=data, seed=seed)).metrics["membershipAdvantage"].value
        for seed in range(12)
    ]
    assert min(found) < 0 < max(found)


def test_a_regression_that_knows_its_training_rows_is_found() -> None:
    rows, _, _ = table()
    random = numpy.random.default_rng(2)
    data = dataset(rows, random.normal(size=len(rows)).astype("float32"), task=Task.REGRESSION)
    known = {row.tobytes(): label for row, label in zip(data.train.rows, data.train.labels, strict=True)}

    def by_heart(asked: Array) -> Array:
        return numpy.array([[known.get(row.tobytes(), 0.0)] for row in asked])

    assert failed("privacy", run("privacy", subject(by_heart, data))) == {"membershipAdvantage"}


def test_few_rows_allow_no_statement_on_privacy() -> None:
    rows, labels, _ = table(rows=30)
    result = run("privacy", subject(honest, dataset(rows, labels, train=15)))
    assert result.metrics == {} and "too few" in result.messages[0]


# --- personal data ---

PERSONAL = {
    "write to jane.doe@example.org": "e-mail address",
    "card 4111 1111 1111 1111": "payment card",
    "IBAN DE89 3704 0044 0532 0130 00": "bank account",
    "call +49 170 1234567": "phone number",
    "ssn 078-05-1120": "social security number",
    "from 8.8.8.8": "address of a machine",
}
HARMLESS = (
    "version 2026.11.1, opset 20, torch 2.15.0",
    "sha256:3f786850e387550fdab836ed7e6dc881de23001b4111111111111112",
    "trained 2026-11-22T20:45:00Z in 12.5 s on 1257 rows",
    "card 4111 1111 1111 1112",
    "listens on 127.0.0.1 and 10.0.0.1",
    "accuracy 0.981481 +- 0.005, DE12 3456 7890 1234 5678 90",
)


@pytest.mark.parametrize(("text", "kind"), PERSONAL.items())
def test_personal_data_are_found_and_not_repeated(text: str, kind: str) -> None:
    result = run("personalData", subject(honest, people(), texts=("harmless", text)))
    assert failed("personalData", result) == {"personalData"}
    assert kind in result.messages[0]
    assert text.split(" ", 1)[1] not in result.messages[0]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_is_no_finding(text: str) -> None:
    assert personal.search(text) == []


def test_texts_of_the_data_are_searched_and_what_is_allowed_is_not_told() -> None:
    data = people(texts=("ask team@example.org",))
    assert run("personalData", subject(honest, data)).metrics["personalData"].value == 1
    allowed = personal.Parameters(allowed=("team@example.org",))
    assert run("personalData", subject(honest, data), allowed).metrics["personalData"].value == 0


# --- explanations ---


def test_integrated_gradients_of_a_linear_model_are_its_weights() -> None:
    data = people()
    result = run("explain", subject(predictor(Smooth()), data, network=Smooth()))
    assert failed("explain", result) == set()
    assert result.metrics["completenessError"].value < 1e-5
    mean = result.tables["integratedGradients"]["mean"]
    assert mean[0] > mean[1] > mean[2] == 0
    assert result.tables["occlusion"][0] > result.tables["occlusion"][1] > result.tables["occlusion"][2] == 0
    assert result.metrics["attributionAgreement"].value == 1.0


def test_gradients_that_explain_nothing_are_found() -> None:
    network = Stepped()
    result = run("explain", subject(predictor(network), people(), network=network))
    assert failed("explain", result) == {"completenessError"}
    assert result.metrics["completenessError"].value == pytest.approx(1, abs=0.05)


def test_occlusion_needs_no_network() -> None:
    result = run("explain", subject(honest, people()))
    assert result.metrics == {}
    assert result.tables["occlusion"][2] == 0 and result.tables["occlusion"][0] > 0


def test_attributions_of_a_curve_come_near_with_steps() -> None:
    class Square(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.stack([rows.pow(4).sum(dim=1), rows.sum(dim=1)], dim=1)

    rows = numpy.array([[1.0, 2.0]], dtype="float32")
    baseline, classes = numpy.zeros(2, dtype="float32"), numpy.array([0])
    parts = explain.integrated_gradients(Square(), rows, classes, baseline=baseline, steps=200)
    assert parts[0] == pytest.approx([1.0, 16.0], rel=1e-3)
    coarse = explain.integrated_gradients(Square(), rows, classes, baseline=baseline, steps=2)
    errors = [explain.completeness_error(Square(), rows, classes, baseline=baseline, parts=p) for p in (coarse, parts)]
    assert errors[0] > 0.05 > 1e-3 > errors[1]


def test_attention_by_hand() -> None:
    first = numpy.array([[[1.0, 0.0], [0.5, 0.5]]])
    second = numpy.array([[[0.0, 1.0], [0.0, 1.0]]])
    assert attention.rollout([first, second])[0].tolist() == [[0.625, 0.375], [0.25, 0.75]]
    assert attention.rollout([numpy.eye(3)[None]])[0].tolist() == numpy.eye(3).tolist()


def test_the_attention_of_an_encoder_is_followed() -> None:
    torch.manual_seed(0)

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(10, 8)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(8, 2)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.layers(self.words(rows)).mean(dim=1))
            return logits

    network = Reader().eval()
    rows = numpy.random.default_rng(0).integers(0, 10, (30, 5))
    data = dataset(rows, numpy.zeros(30, dtype="int64"), train=20)
    about = subject(predictor(network), data, network=network)
    with attention.recorded(network) as layers, torch.inference_mode():
        network(torch.from_numpy(rows))
    assert len(layers) == 2 and layers[0].shape == (30, 5, 5)
    assert attention.rollout(layers).sum(axis=-1) == pytest.approx(numpy.ones((30, 5)), abs=1e-5)
    shown = run("attention", about).tables["rollout"]
    assert len(shown) == 4 and sum(shown[0]["received"]) == pytest.approx(1, abs=1e-4)
    for name in ("robustness", "explain"):
        assert "whole numbers" in run(name, about).messages[0]
    assert "no attention" in run("attention", subject(honest, people(), network=Smooth())).messages[0]


def test_a_surrogate_tells_its_rules_and_how_faithful_it_is() -> None:
    simple = run("surrogate", subject(lambda rows: answers(rows[:, 1] > 0.25), people()))
    assert simple.metrics["surrogateFidelity"].value > 0.98
    assert simple.tables["importance"][0]["feature"] == "age"
    assert "age" in simple.tables["rules"]
    chance = run("surrogate", subject(lambda rows: answers((rows[:, 0] * 1000).astype(int) % 2 == 0), people()))
    assert chance.metrics["surrogateFidelity"].value < 0.7


# --- energy ---


def powercap(folder: Path, *, microjoules: int) -> Path:
    for name, count in (("intel-rapl:0", microjoules), ("intel-rapl:0:0", 7)):
        zone = folder / name
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "name").write_text(f"{name}\n")
        (zone / "energy_uj").write_text(f"{count}\n")
        (zone / "max_energy_range_uj").write_text("5000000\n")
    return folder


def test_the_processors_meter_is_read_and_may_start_anew(tmp_path: Path) -> None:
    folder = powercap(tmp_path, microjoules=4_000_000)
    (meter,) = energy.processor_meters(folder)
    before = meter.read()
    assert (meter.name, before) == ("intel-rapl:0", 4.0)
    powercap(tmp_path, microjoules=4_500_000)
    assert meter.since(before) == pytest.approx(0.5)
    powercap(tmp_path, microjoules=1_000_000)
    assert meter.since(before) == pytest.approx(2.0)


def test_energy_is_counted_per_1000_answers() -> None:
    asked: list[int] = []

    def predict(rows: Array) -> Array:
        asked.append(len(rows))
        return honest(rows)

    meter = energy.Meter(name="cpu", read=lambda: 0.25 * len(asked))
    result = energy.measured(subject(predict, people()), seconds=0.01, meters=[meter])
    assert result.metrics["joulesPer1000"].value == pytest.approx(250)
    assert set(asked) == {1}


def test_without_a_meter_energy_is_unknown(tmp_path: Path) -> None:
    assert energy.processor_meters(tmp_path) == []
    assert energy.card_meters("libno-such-library.so") == []
    result = energy.measured(subject(honest, people()), seconds=0.01, meters=[])
    assert result.metrics == {} and "unknown" in result.messages[0]


def test_an_audit_of_classes_leaves_a_regression_alone() -> None:
    rows, labels, _ = table()
    data = dataset(rows, labels.astype("float32"), task=Task.REGRESSION)
    result = run("fairness", subject(honest, data))
    assert result.messages == (
        "fairness was not run: it is about Classification, and the task of the data is Regression",
    )
