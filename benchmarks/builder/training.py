"""What pruning and distillation gain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.builder.builds import Built, Place, built, spec
from benchmarks.builder.formats import TRAIN
from model_builder.cache import Cache

#: Labels that the student is given, as many of each class.
_LABELS = 100
_STUDENT = {"student": "Mlp", "hidden": 32, "epochs": 20}
#: Both the student alone and the distilled one take the best of these on the validation split.
_RATES = (0.001, 0.003, 0.01)


def measure_pruning(place: Place) -> dict[str, float]:
    """Half of the channels of every layer taken out, and some epochs to make up for it."""
    prune = {"pass": "prune", "parameters": {"structure": "Channels", "amount": 0.5, "epochs": 10}}
    made = built(spec(TRAIN, prune, seed=place.seed, gates=[]), place=place, name="pruned")
    return {
        "throughput": made.value("rowsPerSecond") / made.value("rowsPerSecond.source"),
        "lost": made.value("accuracy.source") - made.value("accuracy"),
        "size": made.value("sizeBytes") / made.value("sizeBytes.source"),
    }


def measure_distillation(place: Place) -> dict[str, float]:
    """A student that is given few labels, alone and with a teacher that learned from all of them elsewhere.

    The student alone makes as many steps and has its rate chosen from as many; with a weight of zero for the teacher
    the pass trains nothing else.
    """
    teacher = built(spec(TRAIN, seed=place.seed, gates=[]), place=place, name="teacher")
    source, data = _weights(teacher, place=place), _few_labels(place)
    students = {
        name: [
            built(_student(place, source=source, data=data, rate=rate, alpha=alpha), place=place, name=f"{name} {rate}")
            for rate in _RATES
        ]
        for name, alpha in (("alone", 0.0), ("distilled", 0.9))
    }
    best = {name: min(tried, key=_validation_error).value("accuracy") for name, tried in students.items()}
    return {"teacher": teacher.value("accuracy"), **best, "gain": best["distilled"] - best["alone"]}


def _validation_error(student: Built) -> float:
    record = student.step("distill")["record"]
    return float(record["errors"][record["kept"]])


def _student(place: Place, *, source: Path, data: dict[str, Any], rate: float, alpha: float) -> dict[str, Any]:
    step = {"pass": "distill", "parameters": {**_STUDENT, "learningRate": rate, "alpha": alpha}}
    return spec(step, seed=place.seed, gates=[], source={"uri": source.as_uri()}, data=data)


def _weights(teacher: Built, *, place: Place) -> Path:
    """Those after the training, as the cache has them."""
    folder = place.folder / "weights"
    folder.mkdir()
    Cache.open(place.cache, tell=lambda _: None).fetch(teacher.step("train")["key"], to=folder)
    (found,) = folder.glob("*.safetensors")
    return found


def _few_labels(place: Place) -> dict[str, Any]:
    """The split of the teacher's data, with labels for the first rows of each class only."""
    import numpy

    from model_builder.data import Data, load

    digits = load(Data(name="digits", seed=place.seed), workspace=place.folder)
    labels, each = digits.train.labels, _LABELS // len(digits.classes)
    given = numpy.concatenate([numpy.flatnonzero(labels == label)[:each] for label in range(len(digits.classes))])
    pool = numpy.setdiff1d(numpy.arange(len(labels)), given)
    splits = {
        "train": (digits.train.rows[given], labels[given]),
        "validation": (digits.validation.rows, digits.validation.labels),
        "test": (digits.test.rows, digits.test.labels),
    }
    uris = {}
    for name, (rows, answers) in splits.items():
        file = place.folder / f"{name}.npz"
        numpy.savez(file, rows=rows, label=answers)
        uris[name] = file.as_uri()
    file = place.folder / "pool.npz"
    numpy.savez(file, rows=digits.train.rows[pool])
    return {
        "name": "few-labels",
        "seed": place.seed,
        "format": "Arrays",
        "splits": uris,
        "unlabelled": file.as_uri(),
    }
